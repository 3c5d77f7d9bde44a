# SPDX-License-Identifier: Apache-2.0
"""From what the judge said to what stands in a record: every figure of it; pure.

A cell that has just ended and one that is verified are written by the same code.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from lab.observe.eye import Sight
from lab.observe.identity import Witness
from lab.record.model import Scalar, VcpuFigures, VerdictRecord
from lab.verdict.verdict import VcpuFigures as Measured
from lab.verdict.verdict import Verdict


def witness_record(witness: Witness, done: Mapping[str, Scalar]) -> dict[str, JsonValue]:
    """Return the second witness as it stands in a record.

    Args:
        witness: Whether the disruption happened, and when.
        done: What else the disruption returned, by name.

    Returns:
        Its kind, its fields, and `done`; for JSON.
    """
    return {"kind": type(witness).__name__, **dataclasses.asdict(witness), **done}


def verdict_record(
    verdict: Verdict, sight: Sight | None, facts: Mapping[str, Scalar]
) -> VerdictRecord:
    """Return a verdict as it stands in a record.

    Args:
        verdict: What the judge said.
        sight: How good the eye was; None if it was never opened.
        facts: What else was seen, by name.

    Returns:
        The record; times are milliseconds, rounded to a microsecond.
    """
    figures = verdict.figures
    extra: dict[str, Scalar] = {
        "check": verdict.check.value,
        "watched_s": round(figures.watched_s, 3),
        "beats_on": figures.beats_on,
        **_pace(figures.vcpus),
        **_ram(figures.ram_mib),
        **facts,
    }
    return VerdictRecord(
        kind=type(verdict).__name__,  # type: ignore[arg-type] # checked by the model
        reason=verdict.reason,
        scope=verdict.scope,
        vcpus=tuple(map(_vcpu, figures.vcpus)),
        beats=sum(v.beats for v in figures.vcpus),
        looks_per_second=round(sight.per_second, 1) if sight else None,
        look_cost_ms=_ms(sight.cost_s) if sight else None,
        void_windows=figures.void_windows,
        figures=extra,
    )


def _vcpu(measured: Measured) -> VcpuFigures:
    return VcpuFigures(
        vcpu=measured.vcpu,
        beats=measured.beats,
        longest_guest_ms=_ms(measured.guest_gap_s),
        longest_l0_ms=_ms(measured.silence_least_s),
        most_l0_ms=_ms(measured.silence_most_s),
        began_ms=_ms(measured.silence_began_s),
    )


def _pace(vcpus: Sequence[Measured]) -> dict[str, Scalar]:
    """Return the worst of all vCPUs: clocks against L0's, beats, and what no look excludes."""
    rates = [v.clock_rate for v in vcpus if v.clock_rate is not None]
    shares = [v.beat_rate for v in vcpus if v.beat_rate is not None]
    found: dict[str, Scalar] = {}
    if rates:
        worst: float = max(rates, key=_apart)
        found["clock_rate"] = round(worst, 4)
    if shares:
        found["beat_rate"] = round(min(shares), 4)
    if steps := [v.clock_step_s for v in vcpus]:
        found["clock_step_ms"] = _ms(max(steps, key=abs))
        found["rewind_ms"] = _ms(max(v.rewind_s for v in vcpus))
        found["rewind_beats"] = max(v.rewind_beats for v in vcpus)
    return found


def _ram(mib: float | None) -> dict[str, Scalar]:
    """Return how much RAM was verified; nothing of a guest that verifies none."""
    return {} if mib is None else {"ram_mib": round(mib, 3)}


def _apart(rate: float) -> float:
    return abs(rate - 1)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None or not math.isfinite(seconds) else round(seconds * 1000, 3)
