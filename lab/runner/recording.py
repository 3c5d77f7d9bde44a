# SPDX-License-Identifier: Apache-2.0
"""From what came of a cell to its record: the one place where outcomes get their names."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from pydantic import JsonValue

from lab.config.model import Cell
from lab.errors import BrokenHostError, LabError, UnavailableError
from lab.record.expectation import decide
from lab.record.model import (
    CellRecord,
    ExpectationRecord,
    Outcome,
    Scalar,
    VcpuFigures,
    VerdictRecord,
)
from lab.record.plan import planned
from lab.record.timeline import excerpts, timeline_of
from lab.runner.result import CellResult
from lab.verdict.problem import Problem
from lab.verdict.verdict import VcpuFigures as Judged
from lab.verdict.verdict import Verdict


def record_of(
    result: CellResult,
    *,
    rerun: str,
    evidence: str = "",
    repeat: int = 1,
) -> CellRecord:
    """Return the record of a cell that has ended.

    Args:
        result: What came of it.
        rerun: The command that runs this cell again.
        evidence: The folder of what is kept, within the run's; "" if there is none.
        repeat: Which turn of this cell it was, from 1.
    """
    plan = planned(result.cell, rerun=rerun, repeat=repeat)
    verdict = _verdict(result.verdict, result) if result.verdict else None
    witness = _witness(result)
    outcome, cause = _outcome(plan.expectation, verdict, result.problems, result.broke)
    seen = result.evidence and result.found and (result.evidence, result.found.marks)
    return CellRecord(
        **{name: getattr(plan, name) for name in type(plan).model_fields},
        outcome=outcome,
        verdict=verdict,
        witness=witness,
        duration_s=round(sum(s for _, s in result.phases), 3),
        phases=tuple((label, round(s, 3)) for label, s in result.phases),
        evidence=evidence,
        first_cause=cause,
        timeline=timeline_of(*seen) if seen else None,
        consoles=excerpts(result.consoles, result.evidence, result.struck_at),
    )


def unavailable(cell: Cell, reason: str, *, rerun: str, repeat: int = 1) -> CellRecord:
    """Return the record of a cell that cannot be run here.

    Args:
        cell: The cell.
        reason: Why.
        rerun: The command that runs this cell.
        repeat: Which turn of this cell it would be, from 1.
    """
    result = CellResult(cell=cell, broke=UnavailableError(reason))
    return record_of(result, rerun=rerun, repeat=repeat)


def _outcome(
    wanted: ExpectationRecord | None,
    verdict: VerdictRecord | None,
    problems: Sequence[Problem],
    broke: LabError | None,
) -> tuple[Outcome, str]:
    if isinstance(broke, UnavailableError):
        return Outcome.UNAVAILABLE, str(broke)
    if isinstance(broke, BrokenHostError):
        return Outcome.SKIPPED, str(broke)
    if broke is not None:
        return Outcome.ERROR, f"{type(broke).__name__}: {broke}"
    if wanted is None or verdict is None:
        return Outcome.ERROR, "it came to no verdict"
    return decide(wanted, verdict, problems)


def _witness(result: CellResult) -> dict[str, JsonValue]:
    if result.delivered is None:
        return {}
    witness = result.delivered.witness
    told: dict[str, JsonValue] = {"kind": type(witness).__name__}
    told |= dataclasses.asdict(witness)
    return {**told, **result.delivered.facts}


def _verdict(verdict: Verdict, result: CellResult) -> VerdictRecord:
    figures = verdict.figures
    sight = result.found.sight if result.found else None
    extra: dict[str, Scalar] = {
        "check": verdict.check.value,
        "watched_s": round(figures.watched_s, 3),
        "beats_on": figures.beats_on,
        **_pace(figures.vcpus),
        **result.facts,
    }
    return VerdictRecord(
        kind=type(verdict).__name__,  # type: ignore[arg-type] # checked by the model
        reason=verdict.reason,
        scope=verdict.scope,
        vcpus=tuple(
            VcpuFigures(
                vcpu=v.vcpu,
                beats=v.beats,
                longest_guest_ms=_ms(v.guest_gap_s),
                longest_l0_ms=_ms(v.silence_least_s),
                most_l0_ms=_ms(v.silence_most_s),
                began_ms=_ms(v.silence_began_s),
            )
            for v in figures.vcpus
        ),
        beats=sum(v.beats for v in figures.vcpus),
        looks_per_second=round(sight.per_second, 1) if sight else None,
        look_cost_ms=_ms(sight.cost_s) if sight else None,
        void_windows=figures.void_windows,
        figures=extra,
    )


def _pace(vcpus: Sequence[Judged]) -> dict[str, Scalar]:
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


def _apart(rate: float) -> float:
    return abs(rate - 1)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None or not math.isfinite(seconds) else round(seconds * 1000, 3)
