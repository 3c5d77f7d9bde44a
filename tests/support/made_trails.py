# SPDX-License-Identifier: Apache-2.0
"""Trails made of instants, without a guest: for what hangs on one beat or one look."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import pytest

from lab.observe.identity import Happened
from lab.observe.trail import Own, Trail
from lab.observe.window import Window
from lab.testing.simulated_guest import BOOT, CANARY, KEY
from lab.verdict.evidence import Evidence, Limits

AHEAD_S = 100.0  # of the guest's clock before L0's
STRUCK = Happened("vmm-kill", 10.0, 10.0)


def near(value: float) -> Any:
    """Return what equals a number that is almost this one."""
    return pytest.approx(value)


def every(step: float, began: float, ended: float) -> list[float]:
    """Return instants from `began` to `ended`, both included."""
    return [round(began + n * step, 6) for n in range(round((ended - began) / step) + 1)]


def trail_of(
    beats: Iterable[float],
    looks: Iterable[float],
    *,
    takes: float = 0.0,
    vcpu: int = 0,
    nvcpus: int = 1,
    period_ns: int = 100_000_000,
    stamps: Sequence[float] | None = None,
    verified: Sequence[int] | None = None,
) -> Trail:
    """Return what looks would have seen of these beats.

    Args:
        beats: When each came, in seconds of L0's clock.
        looks: When each began; all are clear.
        takes: How long each took, in seconds; what comes meanwhile is seen by the next.
        vcpu: Which it is.
        nvcpus: How many the guest says that it has.
        period_ns: How often the guest says that it beats.
        stamps: The guest's times of the beats, if its clock is not just ahead of L0's.
        verified: How many pages of RAM it has verified by each look that sees beats, if any.
    """
    trail = Trail(vcpu, KEY, CANARY, BOOT)
    trail.nvcpus, trail.period_ns = nvcpus, period_ns
    due = sorted(beats)
    told = [at + AHEAD_S for at in due] if stamps is None else list(stamps)
    seen = 0
    for look in looks:
        new = range(seen, bisect_right(due, look))
        if new:
            trail.start.append(len(trail.stamps))
            trail.seq.append(seen + 1)
            trail.stamps.extend(round(told[n] * 1e9) for n in new)
            trail.after.append(trail.clear_began[-1] if trail.clear_began else float("-inf"))
            trail.by.append(look + takes)
            trail.verified.append(-1 if verified is None else verified[len(trail.by) - 1])
            seen += len(new)
        trail.clear_began.append(look)
        trail.clear_ended.append(look + takes)
    gaps = [round((b - a) * 1e9) for a, b in pairwise(told[:seen])]
    trail.owns.append(Own(due[0] if due else 0.0, max(gaps, default=0), 0, 0))
    return trail


def steady(vcpu: int = 0, *, until: float = 30.0, nvcpus: int = 1) -> Trail:
    """Return the trail of a vCPU that beats ten times a second from 0 on, looked at twice."""
    beats, looks = every(0.1, 0.0, until), every(0.5, 0.0, 30.0)
    return trail_of(beats, looks, vcpu=vcpu, nvcpus=nvcpus)


def evidence_of(*trails: Trail, **more: Any) -> Evidence:
    """Return evidence of a watch of 30 s, in which the guest is struck at 10 s."""
    known: dict[str, Any] = {
        "trails": {trail.vcpu: trail for trail in trails},
        "expected_vcpus": len(trails),
        "baseline": Window(0.0, 9.0),
        "end": 30.0,
        "limits": Limits(patience=5.0),
        "outside_eye": True,
        "disruption": STRUCK,
    }
    return Evidence(**(known | more))
