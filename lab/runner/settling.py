# SPDX-License-Identifier: Apache-2.0
"""From what was seen to a verdict: judged, searched for, and watched on where it is found."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic

from lab.config.model import Cell, Watch
from lab.deadline import pause
from lab.disruption.delivered import Delivered
from lab.guest.guest import RunningGuest
from lab.observe.search import Search
from lab.observe.window import Window
from lab.runner.course import Course, Settled
from lab.runner.interference import interference_of
from lab.runner.search import search
from lab.runner.watch import Watched, wiped
from lab.verdict.evidence import Evidence, Limits
from lab.verdict.judge import judge_through
from lab.verdict.verdict import Check, Verdict

# With these, nothing was seen of the guest in the end: it may be elsewhere.
_LOST_SIGHT = frozenset({Check.SEARCH, Check.PATH, Check.PAGE})


def known_of(cell: Cell, watch: Watch, baseline: Window, delivered: Delivered) -> Evidence:
    """Return what is known of a guest that was struck, before the eye is asked what it saw.

    Args:
        cell: What is run.
        watch: How long a silence may be.
        baseline: The undisturbed stretch.
        delivered: What was done to the guest, and its witness.

    Returns:
        The evidence without trails; its watch ends with the baseline, until its end is put in.
    """
    return Evidence(
        trails={},
        expected_vcpus=cell.vcpus,
        baseline=baseline,
        end=baseline.ended,
        limits=Limits(patience=watch.patience_s),
        outside_eye=True,
        disruption=delivered.witness,
    )


def settle(
    guest: RunningGuest,
    seen: Watched,
    watch: Watch,
    known: Evidence,
    course: Course,
    *,
    resumed: Window | None = None,
    why: str = "",
) -> None:
    """Judge a guest while the eye is still open, and note what that rests on.

    All of its host's memory is searched for it: where that is quick always, since it may be there
    twice; where it is slow only if nothing else says whether it lives. One that is found to beat
    elsewhere is watched there for as long again.

    Args:
        guest: The guest, under whichever VMM it has in the end.
        seen: The open eye on it.
        watch: For how long to watch on.
        known: What is known of it but for what the eye has seen, for a watch that has ended.
        course: Where to note the verdict, what it rests on, and what the search found.
        resumed: The stretch from its resumption on; None if it was not stopped.
        why: What it had been stopped for.

    Raises:
        InfraError: Its host's memory cannot be searched, or the eye failed.
    """
    evidence, verdict = _judged(guest, known, seen, course, resumed=resumed, why=why)
    with course.phase("search"):
        slowly = verdict.check in _LOST_SIGHT
        copies = search(guest, tuple(seen.eye.pages.values()), slowly=slowly)
    if copies is not None:
        course.facts |= _told(copies)
        # By now, what L0 was late for is known too.
        evidence, verdict = _judged(
            guest, known, seen, course, resumed=resumed, why=why, copies=copies
        )
        if verdict.check is Check.ELSEWHERE and resumed is None:
            copies = _watch_there(copies, seen, watch, course)
            later = replace(known, end=monotonic())
            evidence, verdict = _judged(
                guest, later, seen, course, resumed=None, why=why, copies=copies
            )
    assert course.found is not None  # noqa: S101 - it was judged
    course.facts["late_ms"] = round(evidence.stalled(evidence.window) * 1000, 1)
    course.verdict = verdict
    course.settled = Settled(evidence, course.found, guest.plan.key, resumed, why)


def _judged(
    guest: RunningGuest,
    known: Evidence,
    seen: Watched,
    course: Course,
    *,
    resumed: Window | None,
    why: str,
    copies: Search | None = None,
) -> tuple[Evidence, Verdict]:
    found = course.found = seen.eye.found()
    evidence = replace(
        known,
        trails=found.trails,
        voids=seen.jitter.voids,
        interference=interference_of(guest.host.domain, seen.jitter),
    )
    if copies is not None:
        nowhere = copies.whole and not copies.found and wiped(evidence)
        evidence = replace(evidence, search=copies, nowhere=nowhere)
    return evidence, judge_through(evidence, resumed, why)


def _told(found: Search) -> dict[str, str | int | float]:
    copies = [one for one in found.found if one.phys not in found.watched]
    return {
        "search_s": round(found.took_s, 3),
        "search_by": found.how,
        "other_copies": len(copies),
        "live_copies": sum(one.beats for one in copies),
    }


def _watch_there(found: Search, seen: Watched, watch: Watch, course: Course) -> Search:
    """Watch where the guest was found; return the search as if that had been watched."""
    pages = dict(seen.eye.pages)
    for vcpu in pages:
        if there := found.elsewhere(vcpu):
            pages[vcpu] = there[0]
    course.facts["found_at"] = " ".join(f"{phys:#x}" for phys in pages.values())
    seen.eye.mark("found elsewhere")
    seen.eye.relocate(pages)
    with course.phase("watch elsewhere"):
        pause(watch.after_s)
    return replace(found, watched=tuple(pages.values()))
