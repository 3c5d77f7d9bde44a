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
from lab.verdict.silence import last_seen, longest_gap, silences
from lab.verdict.verdict import Check, Unproven

IDENTITY = frozenset({Kind.CANARY, Kind.RESTART, Kind.REWIND, Kind.CHAIN})
_FLOOR_S = 0.1  # what a busy L1 may keep a guest waiting for
_TIMES = 2.0


def silent_before(e: Evidence, trail: Trail, at: float) -> bool:
    """Whether a vCPU was silent already, or out of sight for too long to tell.

    The looks must not prove a silence that is longer than twice its longest gap of before, by its
    own clock; nor may it have been unseen for longer than twice as long as ever before.
    """
    before = Window(e.baseline.began, at)
    own = longest_gap(trail, before).ns / 1e9
    allowed = max(_FLOOR_S, _TIMES * own)
    if (beat := _between_looks(trail, at)) is not None:
        return at - beat > allowed
    seen = last_seen(trail, at)
    unseen = max((s.most for s in silences(trail, before) if not s.last), default=0.0)
    if seen is None or at - seen > min(e.limits.live, max(_FLOOR_S, _TIMES * unseen)):
        return True
    last = trail.clear_began[bisect_right(trail.clear_ended, at) - 1]  # where it was seen, at least
    return last - seen > allowed


def _between_looks(trail: Trail, at: float) -> float | None:
    """Return when the newest beat of the batch came, at the latest, that `at` is in the middle of.

    Its stamp says when, by the guest's clock; by how much that is ahead, the looks before bound.
    """
    batch = bisect_right(trail.by, at)
    if not 0 < batch < len(trail.by) or trail.after[batch] >= at:
        return None
    ahead = max(_newest(trail, i) - trail.by[i] for i in range(batch))
    return _newest(trail, batch) - ahead


def _newest(trail: Trail, batch: int) -> float:
    return trail.stamps[trail.stop(batch) - 1] / 1e9


def lived_at(e: Evidence, trail: Trail, at: float) -> bool:
    """Whether a vCPU was alive at an instant: it had just beaten, or beat after it."""
    if not silent_before(e, trail, at):
        return True
    stop = bisect_right(trail.by, e.end)
    if other := [a.at for a in trail.anomalies if a.kind in IDENTITY]:  # from then on, another
        stop = min(stop, bisect_left(trail.by, min(other)))
    return bisect_left(trail.after, at, hi=stop) < stop


def early(e: Evidence, who: str, trail: Trail) -> Unproven | None:
    """Nothing is lost by a disruption that finds the guest silent already."""
    if not isinstance(e.disruption, Happened) or lived_at(e, trail, e.first_touched):
        return None
    return Unproven(f"{who} was not seen alive when it was struck", Check.EARLY)
