# SPDX-License-Identifier: Apache-2.0
"""The judge's checks of the way to the guest: lost sight, a dead host, a second copy; pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from lab.observe.identity import Happened
from lab.observe.trail import Trail
from lab.verdict.alive import early, silent_before
from lab.verdict.evidence import Evidence
from lab.verdict.memory_checks import each
from lab.verdict.verdict import Check, Lost, Unproven, Verdict


def path(e: Evidence) -> Verdict | None:
    """Require that each vCPU's page was in sight in the end, or say why it was not."""
    for who, trail in each(e):
        clear = bisect_right(trail.clear_ended, e.end)
        if clear and e.end - trail.clear_began[clear - 1] <= e.limits.closing:
            continue
        if found := _host_died(e, who, trail):
            return found
        why = trail.blinds[-1].reason if trail.blinds else "the eye was shut"
        if e.nowhere:
            what = f"{who}: {why}, and its canary is nowhere in the memory of its host"
            return early(e, who, trail) or Lost(what, Check.NOWHERE)
        if e.search and (found_at := e.search.elsewhere(trail.vcpu)):
            what = f"{who} beats at {where(found_at)}, and not where it was watched: {why}"
            return Unproven(what, Check.ELSEWHERE)
        return Unproven(f"the path to {who} was lost: {why}", Check.PATH)
    return None


def one_copy(e: Evidence) -> Verdict | None:
    """Require that no vCPU beats in two places at once."""
    for who, trail in each(e):
        live = e.search.live(trail.vcpu) if e.search else ()
        if len(live) > 1:
            what = f"{who} beats in two places, {where(live)}"
            return Unproven(f"split brain: {what}", Check.SPLIT_BRAIN)
        if e.search and (other := e.search.elsewhere(trail.vcpu)):
            what = f"{who} beats at {where(other)} too, which is not the page that was watched"
            return Unproven(f"split brain: {what}", Check.SPLIT_BRAIN)
    return None


def where(pages: Iterable[int]) -> str:
    """Return physical addresses as a reason names them."""
    return " and ".join(f"{phys:#x}" for phys in pages)


def outside_eye(e: Evidence) -> Verdict | None:
    """Require that what was seen was seen past the host."""
    if e.outside_eye:
        return None
    return Unproven("L1-witnessed: it was not seen to survive from outside of the host", Check.EYE)


def tallies(e: Evidence) -> Verdict | None:
    """Require that each deed was witnessed as often as it was ordered."""
    for tally in e.tallies:
        if tally.counted != tally.wanted:
            what = f"{tally.wanted} {tally.what} were ordered, and {tally.counted} were witnessed"
            return Unproven(what, Check.TALLY)
    return None


def _host_died(e: Evidence, who: str, trail: Trail) -> Verdict | None:
    death = e.host_death
    if death is None or not e.struck <= death.at <= e.end:
        return None
    if not silent_before(e, trail, death.at):
        return Lost(f"{who} was alive when its host died: {death.what}", Check.HOST)
    if not isinstance(e.disruption, Happened):
        return Unproven(f"{who} was not seen alive when its host died", Check.EARLY)
    return early(e, who, trail) or Lost(f"{who}: its host died: {death.what}", Check.HOST)
