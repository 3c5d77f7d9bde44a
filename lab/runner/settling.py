# SPDX-License-Identifier: Apache-2.0
"""From what was seen to a verdict: judged, searched for, and watched on where it is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from time import monotonic

from lab.config.model import Watch
from lab.deadline import pause
from lab.guest.guest import RunningGuest
from lab.observe.search import Search
from lab.observe.window import Window
from lab.runner.result import CellResult
from lab.runner.search import search
from lab.runner.watch import Watched, wiped
from lab.verdict.evidence import Evidence
from lab.verdict.judge import judge_through
from lab.verdict.verdict import Check

# With these, nothing was seen of the guest in the end: it may be elsewhere.
_LOST_SIGHT = frozenset({Check.SEARCH, Check.PATH, Check.PAGE})

Known = Callable[[float], Evidence]


def settle(
    guest: RunningGuest,
    seen: Watched,
    watch: Watch,
    result: CellResult,
    *,
    known: Known,
    end: float,
    resumed: Window | None = None,
    why: str = "",
) -> None:
    """Judge a guest while the eye is still open, and note the evidence and the verdict.

    All of its host's memory is searched for it: where that is quick always, since it may be there
    twice; where it is slow only if nothing else says whether it lives. One that is found to beat
    elsewhere is watched there for as long again.

    Args:
        guest: It, as it is in the end.
        seen: The open eye on it.
        watch: For how long to watch on.
        result: Where to note what came of it.
        known: Returns what is known of it, for a watch that ends at an instant.
        end: When the watch ended.
        resumed: The stretch in which it was to go on after it had stood still, if it had.
        why: What it had stood still for.
    """
    evidence = known(end)
    verdict = judge_through(evidence, resumed, why)
    found = _search(guest, seen, result, slowly=verdict.check in _LOST_SIGHT)
    if found is not None:
        evidence = _with(known(end), found)  # by now, what L0 was late for is known too
        verdict = judge_through(evidence, resumed, why)
        if verdict.check is Check.ELSEWHERE and resumed is None:
            found = _watch_there(found, seen, watch, result)
            evidence = _with(known(monotonic()), found)
            verdict = judge_through(evidence, None, why)
    result.evidence, result.verdict = evidence, verdict


def _search(
    guest: RunningGuest, seen: Watched, result: CellResult, *, slowly: bool
) -> Search | None:
    with result.phase("search"):
        found = search(guest, tuple(seen.eye.pages.values()), slowly=slowly)
    if found is not None:
        copies = [one for one in found.found if one.phys not in found.watched]
        result.facts |= {
            "search_s": round(found.took_s, 3),
            "search_by": found.how,
            "other_copies": len(copies),
            "live_copies": sum(one.beats for one in copies),
        }
    return found


def _with(evidence: Evidence, found: Search) -> Evidence:
    nowhere = found.whole and not found.found and wiped(evidence)
    return replace(evidence, search=found, nowhere=nowhere)


def _watch_there(found: Search, seen: Watched, watch: Watch, result: CellResult) -> Search:
    """Watch where the guest was found; return the search as if that had been watched."""
    pages = dict(seen.eye.pages)
    for vcpu in pages:
        if there := found.elsewhere(vcpu):
            pages[vcpu] = there[0]
    result.facts["found_at"] = " ".join(f"{phys:#x}" for phys in pages.values())
    seen.eye.mark("found elsewhere")
    seen.eye.relocate(pages)
    with result.phase("watch elsewhere"):
        pause(watch.after_s)
    return replace(found, watched=tuple(pages.values()))
