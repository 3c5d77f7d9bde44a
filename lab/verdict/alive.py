# SPDX-License-Identifier: Apache-2.0
"""Whether a vCPU was alive at an instant, measured by its own pace and not by a fixed time; pure.

A guest that beats each millisecond and was last seen to beat 0.9 s before it was struck had died
of something else.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from lab.observe.identity import Happened
from lab.observe.trail import Kind, Trail
from lab.observe.window import Window
from lab.verdict.evidence import Evidence
from lab.verdict.silence import last_seen, silences
from lab.verdict.verdict import Check, Unproven

IDENTITY = frozenset({Kind.CANARY, Kind.RESTART, Kind.REWIND, Kind.CHAIN})
_FLOOR_S = 0.1  # a few looks, of which one may be late
_TIMES = 2.0


def pace(e: Evidence, trail: Trail, at: float) -> float:
    """Return for how long before `at` a vCPU that lives may not have been seen to beat, in seconds.

    That is twice its longest silence of before, its last one left out, and `limits.live` at most.
    """
    before = silences(trail, Window(e.baseline.began, at))
    own = max((silence.most for silence in before if not silence.last), default=0.0)
    return min(e.limits.live, max(_FLOOR_S, _TIMES * own))


def lived_at(e: Evidence, trail: Trail, at: float) -> bool:
    """Say whether the vCPU was alive at `at`: it had just beaten, or beat after it."""
    seen = last_seen(trail, at)
    if seen is not None and at - seen <= pace(e, trail, at):
        return True
    stop = bisect_right(trail.by, e.end)
    if other := [a.at for a in trail.anomalies if a.kind in IDENTITY]:  # from then on, another
        stop = min(stop, bisect_left(trail.by, min(other)))
    return bisect_left(trail.after, at, hi=stop) < stop


def early(e: Evidence, who: str, trail: Trail) -> Unproven | None:
    """Nothing is lost by a disruption that finds the guest silent already."""
    if not isinstance(e.disruption, Happened) or lived_at(e, trail, e.taken):
        return None
    return Unproven(f"{who} was not seen alive when it was struck", Check.EARLY)
