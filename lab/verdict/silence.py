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
    """No beat for at least `least` and less than `most` seconds; instants are L0's clock.

    Attributes:
        least: The certain length in seconds.
        most: The longest that it can have been.
        after: The last beat before it came after this.
        by: The last beat before it had come by this.
        over: When it was over at the latest.
        last: It was still going on when the watch ended.
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
    """A step of the guest's own clock between two beats.

    Attributes:
        ns: Its length.
        at_ns: The guest's time at the first of the two beats.
        by: When the second had been seen, on L0's clock in seconds.
    """

    ns: int
    at_ns: int
    by: float


def silences(trail: Trail, window: Window) -> Iterator[Silence]:
    """Yield each stretch of a watch without a beat, in order, to the very end.

    Args:
        trail: One vCPU.
        window: The watch, on L0's clock.

    Yields:
        The silences; the last of them has `last` set, however short it is.
    """
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
    """Return the silence that may have been the longest.

    Args:
        trail: One vCPU.
        window: Within which time, on L0's clock.

    Returns:
        The one with the largest `most`; of equal ones the first.
    """
    return max(silences(trail, window), key=lambda silence: silence.most)


def _stamps_of(trail: Trail, batch: int) -> tuple[int, int]:
    return trail.start[batch], trail.stop(batch)


def longest_gap(trail: Trail, window: Window) -> Gap:
    """Return the longest step of the guest's clock between two beats, the later in `window`.

    Args:
        trail: One vCPU; across an overrun or a restart there is no step.
        window: Within which time, on L0's clock.

    Returns:
        The step; of length 0 if fewer than two beats came.
    """
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
    """Count the beats first seen within a stretch.

    Args:
        trail: One vCPU.
        window: Within which time, on L0's clock.

    Returns:
        How many.
    """
    first = bisect_right(trail.by, window.began)
    stop = bisect_right(trail.by, window.ended)
    if first == stop:
        return 0
    return _stamps_of(trail, stop - 1)[1] - trail.start[first]


def last_seen(trail: Trail, at: float) -> float | None:
    """Return when the newest beat known at an instant had been seen.

    Args:
        trail: One vCPU.
        at: The instant, on L0's clock in seconds.

    Returns:
        When the look ended that saw it; None if none was seen yet.
    """
    found = bisect_right(trail.by, at)
    return trail.by[found - 1] if found else None


def drift(trail: Trail, window: Window) -> float | None:
    """Measure by how much the guest's clock gained on L0's, to about the length of a look.

    Args:
        trail: One vCPU.
        window: Within which time, on L0's clock.

    Returns:
        Seconds; None if fewer than two batches of beats came.
    """
    first = bisect_left(trail.by, window.began)
    stop = bisect_right(trail.by, window.ended)
    if stop - first < 2:  # noqa: PLR2004 - two points make a line
        return None
    begin, end = _stamps_of(trail, first)[1] - 1, _stamps_of(trail, stop - 1)[1] - 1
    guest = (trail.stamps[end] - trail.stamps[begin]) / 1e9
    return guest - (trail.by[stop - 1] - trail.by[first])
