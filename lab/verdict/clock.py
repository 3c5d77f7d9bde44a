# SPDX-License-Identifier: Apache-2.0
"""A guest's clock against L0's: its rate, its steps, and how often the guest beats; pure.

A beat is read no earlier than it was stamped. So stamp minus time of the look is at most the
offset of both clocks, and the largest in a stretch is near it, however late single looks are.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import combinations, pairwise
from statistics import median

from lab.observe.trail import Trail
from lab.observe.window import Window
from lab.verdict.evidence import Evidence, GuestClock
from lab.verdict.silence import beats, silences

_BUCKET_S = 0.5
_APART_S = 1.0
_ENOUGH = 3


@dataclass(frozen=True, slots=True)
class Offset:
    """By how much the guest's clock was ahead of L0's at `at`, both in seconds."""

    at: float
    ahead: float


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the guest's clock between two stretches; `beyond` what its rate may make of it."""

    seconds: float
    beyond: float
    between: Window


@dataclass(frozen=True, slots=True)
class Clock:
    """What a vCPU's beats say of its clock before and after an instant; None is too few beats."""

    rate_before: float | None
    rate_after: float | None
    step: Step | None
    beats_before: float | None
    beats_after: float | None

    @property
    def beat_share(self) -> float | None:
        """Beats a second after the instant, as a share of those before it."""
        if not self.beats_before or self.beats_after is None:
            return None
        return self.beats_after / self.beats_before


def clock_of(e: Evidence, trail: Trail) -> Clock:
    """Measure the clock of one vCPU from the first beat seen to the end of the watch."""
    seen = offsets(trail, Window(float("-inf"), e.end))
    before = [o for o in seen if o.at <= e.struck]
    after = [o for o in seen if o.at > e.struck]
    return Clock(
        rate_before=_rate(e, before),
        rate_after=_rate(e, after),
        step=_step(e, seen),
        beats_before=_pace(e, trail, e.baseline),
        beats_after=_slowest(e, trail),
    )


def offsets(trail: Trail, window: Window) -> list[Offset]:
    """Return the offset of both clocks in each half second in which beats came."""
    found: list[Offset] = []
    bucket: float | None = None
    for i in range(bisect_left(trail.by, window.began), bisect_right(trail.by, window.ended)):
        newest = trail.stamps[trail.stop(i) - 1] / 1e9
        one = Offset(trail.by[i], newest - trail.by[i])
        this = trail.by[i] // _BUCKET_S
        if this != bucket:
            found.append(one)
            bucket = this
        elif one.ahead > found[-1].ahead:
            found[-1] = one
    return found


def _change(e: Evidence, a: Offset, b: Offset) -> float:
    """By how much the offset changed from `a` to `b`, beside what stops account for."""
    change, stretch = b.ahead - a.ahead, Window(a.at, b.at)
    for stop in e.all_stops:
        missed = stretch.overlap(stop.window)
        if stop.clock is GuestClock.STANDS:
            change += missed
        elif stop.clock is GuestClock.EITHER:  # it may have lost so much, and gained nothing
            change = max(change, min(0.0, change + missed))
    return change


def _rate(e: Evidence, seen: list[Offset]) -> float | None:
    slopes = [
        _change(e, a, b) / (b.at - a.at)
        for a, b in combinations(seen, 2)
        if b.at - a.at >= _APART_S
    ]
    return 1 + median(slopes) if len(slopes) >= _ENOUGH else None


def _step(e: Evidence, seen: list[Offset]) -> Step | None:
    """Find the largest step from one half second to the next, or from the first to any."""
    pairs = [*pairwise(seen), *((seen[0], later) for later in seen[2:])]
    steps = []
    for a, b in pairs:
        change, stretch = _change(e, a, b), Window(a.at, b.at)
        slack = e.limits.clock_rate * stretch.length
        steps.append(Step(change, abs(change) - slack, stretch))
    return max(steps, key=lambda step: step.beyond, default=None)


def _slowest(e: Evidence, trail: Trail) -> float | None:
    """Return the pace after the disruption, or in the last half of that if it is slower."""
    after = Window(e.struck, e.end)
    last = Window(max(after.began, after.ended - after.length / 2), after.ended)
    known = [p for p in (_pace(e, trail, after), _pace(e, trail, last)) if p is not None]
    return min(known, default=None)


def _pace(e: Evidence, trail: Trail, window: Window) -> float | None:
    """Beats a second, beside stops, L0's stalls and the longest silence, which are judged apart."""
    silent = max(_silent(e, Window(s.after, s.over)) for s in silences(trail, window))
    stood = e.stopped(window) + e.stalled(window)
    free = window.length - stood - min(silent, e.limits.patience)
    return beats(trail, window) / free if free >= _APART_S else None


def _silent(e: Evidence, stretch: Window) -> float:
    return max(0.0, e.unstopped(stretch.began, stretch.ended) - e.stalled(stretch))
