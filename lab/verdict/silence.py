# SPDX-License-Identifier: Apache-2.0
"""How long a vCPU was silent within a watch, by L0's clock (bounds) and by its own; pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from operator import sub

from lab.observe.trail import Trail
from lab.observe.window import Window


@dataclass(frozen=True, slots=True)
class Silence:
    """No beat for at least `least` and less than `most` seconds.

    The last beat before it came after `after` and by `by`; `over` is when it was over at the
    latest, and `last` says that it was still going on when the watch ended.
    """

    least: float
    most: float
    after: float
    by: float
    over: float
    last: bool = False

    @property
    def proven(self) -> Window:
        """The stretch in which there was certainly no beat."""
        return Window(self.by, self.by + self.least)


@dataclass(frozen=True, slots=True)
class Gap:
    """The guest's own clock went on by `ns` between two beats, the first of them at `at_ns`."""

    ns: int
    at_ns: int
    by: float


def silences(trail: Trail, window: Window) -> Iterator[Silence]:
    """Give each stretch of `window` without a beat, in order, to the very end."""
    t0, end = window.began, window.ended
    stop = bisect_right(trail.by, end)
    first = bisect_right(trail.by, t0)
    after, by = t0, t0
    for i in range(first, stop):
        over = trail.by[i]
        least = max(0.0, max(trail.after[i], t0) - by)
        yield Silence(least, over - after, after, by, over)
        after, by = max(trail.after[i], t0), over
    clear = bisect_right(trail.clear_ended, end) - 1
    known = trail.clear_began[clear] if clear >= 0 else t0
    yield Silence(max(0.0, known - by), end - after, after, by, end, last=True)


def longest(trail: Trail, window: Window) -> Silence:
    """Give the silence of `window` that may have been the longest."""
    return max(silences(trail, window), key=lambda silence: silence.most)


def _stamps_of(trail: Trail, batch: int) -> tuple[int, int]:
    follows = batch + 1 < len(trail.start)
    return trail.start[batch], trail.start[batch + 1] if follows else len(trail.stamps)


def longest_gap(trail: Trail, window: Window) -> Gap:
    """Give the guest clock's longest step between two beats of which the later is in `window`."""
    best = Gap(0, 0, window.began)
    for batch in range(bisect_right(trail.by, window.began), bisect_right(trail.by, window.ended)):
        begin, end = _stamps_of(trail, batch)
        if batch and trail.seq[batch - 1] + begin - trail.start[batch - 1] == trail.seq[batch]:
            begin -= 1
        steps = list(map(sub, trail.stamps[begin + 1 : end], trail.stamps[begin:end]))
        if steps and max(steps) > best.ns:
            ns = max(steps)
            best = Gap(ns, trail.stamps[begin + steps.index(ns)], trail.by[batch])
    return best


def beats(trail: Trail, window: Window) -> int:
    """Count the beats first seen within `window`."""
    first = bisect_right(trail.by, window.began)
    stop = bisect_right(trail.by, window.ended)
    if first == stop:
        return 0
    return _stamps_of(trail, stop - 1)[1] - trail.start[first]


def last_seen(trail: Trail, at: float) -> float | None:
    """Give the look by which the newest beat known at `at` had been seen."""
    found = bisect_right(trail.by, at)
    return trail.by[found - 1] if found else None


def drift(trail: Trail, window: Window) -> float | None:
    """Seconds that the guest's clock gained on L0's within `window`, to about a look."""
    first = bisect_left(trail.by, window.began)
    stop = bisect_right(trail.by, window.ended)
    if stop - first < 2:  # noqa: PLR2004 - two points make a line
        return None
    begin, end = _stamps_of(trail, first)[1] - 1, _stamps_of(trail, stop - 1)[1] - 1
    guest = (trail.stamps[end] - trail.stamps[begin]) / 1e9
    return guest - (trail.by[stop - 1] - trail.by[first])
