# SPDX-License-Identifier: Apache-2.0
"""How far a guest could have been set back without a trace: what no look excludes; pure.

A beat that was seen cannot be taken back: whatever is beaten again is chained otherwise, or comes
a second time. What nobody saw can be. Between two looks that tell, a vCPU can have beaten for as
long as they are apart; as many beats as it is on by were not taken back.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass

from lab.observe.trail import Trail
from lab.observe.window import Window
from lab.verdict.evidence import Evidence


@dataclass(frozen=True, slots=True)
class Bound:
    """The largest rewind that could have been missed, and between which looks."""

    seconds: float
    beats: int
    stretch: Window


def rewind_bound(e: Evidence, trail: Trail) -> Bound:
    """Return what the looks at one vCPU leave open, stops that the lab ordered left out."""
    began, ended = trail.clear_began, trail.clear_ended
    first = bisect_right(ended, e.baseline.began)
    stop = bisect_right(ended, e.end)
    best = Bound(0.0, 0, Window(e.baseline.began, e.baseline.began))
    batch = bisect_right(trail.by, e.baseline.began)
    known = _newest(trail, batch - 1)
    for i in range(first, stop):
        stretch = Window(began[i - 1] if i else e.baseline.began, ended[i])
        newest = known
        while batch < len(trail.by) and trail.by[batch] <= ended[i]:
            newest = _newest(trail, batch)
            batch += 1
        came = max(0, newest - known) * trail.period_ns / 1e9
        left = max(0.0, stretch.length - e.stopped(stretch) - came)
        known = newest
        if left > best.seconds:
            best = Bound(left, _beats(left, trail.period_ns), stretch)
    return best


def _newest(trail: Trail, batch: int) -> int:
    if batch < 0:
        return 0
    return trail.seq[batch] + trail.stop(batch) - trail.start[batch] - 1


def _beats(seconds: float, period_ns: int) -> int:
    return math.ceil(seconds * 1e9 / period_ns) if period_ns else 0
