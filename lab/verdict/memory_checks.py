# SPDX-License-Identifier: Apache-2.0
"""The judge's checks of memory: digests from L1, borne out by what the outside eye saw; pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from lab.observe.identity import Happened
from lab.observe.trail import Trail
from lab.verdict.evidence import Evidence
from lab.verdict.verdict import Check, Lost, Scope, Unproven, Verdict


def each(e: Evidence) -> Iterator[tuple[str, Trail]]:
    """Yield the vCPUs by index, each with its name for a reason: "vCPU 0".

    Args:
        e: The evidence.

    Yields:
        Name and trail.
    """
    for n in sorted(e.trails):
        yield f"vCPU {n}", e.trails[n]


def memory(e: Evidence) -> Verdict | None:
    """Compare the digests of a guest that was stopped between them."""
    m = e.memory
    if m is None:
        wanted = e.scope is Scope.MEMORY
        return Unproven("its memory was not digested", Check.MEMORY) if wanted else None
    if not (m.before and m.after):
        return Unproven("one of the two digests of its memory is missing", Check.MEMORY)
    struck = e.disruption
    ordered, done = m.after_at, m.before_at
    if isinstance(struck, Happened):
        ordered, done = struck.at, struck.done
    if not (m.before_at < m.after_at and m.before_at <= ordered and done <= m.after_at):
        return Unproven("its memory was not digested before and after", Check.MEMORY)
    if e.scope is Scope.MEMORY and (found := _ran_on(e, m.before_at)):
        return found
    if m.before != m.after:
        return Lost(f"its memory changed: {m.before} became {m.after}", Check.MEMORY)
    return None


def _ran_on(e: Evidence, since: float) -> Verdict | None:
    """Digests say something only of a guest that is stopped from the first one on."""
    for who, trail in each(e):
        if any(after > since for after in trail.after[: bisect_right(trail.by, e.end)]):
            return Unproven(f"{who} beat on after its memory was digested", Check.MEMORY)
    return None


def seen_after(e: Evidence) -> Verdict | None:
    """Both digests are L1's word; the eye must have seen the beacon after it, as it was."""
    since = e.disruption.done if isinstance(e.disruption, Happened) else e.baseline.ended
    for who, trail in each(e):
        seen = bisect_left(trail.clear_began, since)
        if seen == len(trail.clear_began) or trail.clear_ended[seen] > e.end:
            why = trail.blinds[-1].reason if trail.blinds else "the eye was shut"
            what = f"L1-witnessed: the memory of {who} was not seen from outside afterwards: {why}"
            return Unproven(what, Check.PATH)
    return None
