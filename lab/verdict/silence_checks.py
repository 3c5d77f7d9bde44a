# SPDX-License-Identifier: Apache-2.0
"""The judge's checks of silence, by L0's clock and by the guest's; stops are excused; pure."""

from __future__ import annotations

from itertools import pairwise

from lab.observe.identity import Happened
from lab.observe.trail import Trail
from lab.observe.window import Window
from lab.verdict.alive import early, silent_before
from lab.verdict.evidence import Evidence
from lab.verdict.memory_checks import each
from lab.verdict.path_checks import where
from lab.verdict.silence import Silence, longest_gap, silences
from lab.verdict.verdict import Check, Lost, Unproven, Verdict


def silent(e: Evidence) -> Verdict | None:
    """Find a silence that certainly was longer than patience."""
    doubt: Verdict | None = None
    for who, trail in each(e):
        for silence in silences(trail, e.window):
            if e.unstopped(silence.by, silence.by + silence.least) > e.limits.patience:
                found = _silent(e, who, trail, silence)
                if isinstance(found, Lost):
                    return found
                doubt = doubt or found
    return doubt


def guest_silent(e: Evidence) -> Verdict | None:
    """Find a step of the guest's own clock between two beats that is longer than patience."""
    for who, trail in each(e):
        gap = longest_gap(trail, e.window)
        stretch = Window(gap.by - gap.ns / 1e9, gap.by)
        own = gap.ns / 1e9 - e.stopped(stretch)
        if own <= e.limits.patience:
            continue
        what = f"{who} was silent for {own:.1f} s of its own clock"
        if gap.by < e.first_touched:
            return Unproven(f"{what} before the disruption", Check.EARLY)
        if own - e.stalled(stretch) <= e.limits.patience:
            return Unproven(f"{what}, and L0 itself stalled then", Check.JITTER)
        return Lost(f"{what}; {e.limits.patience:.1f} s is the limit", Check.GUEST_SILENCE)
    return None


def ending(e: Evidence) -> Verdict | None:
    """Find a silence that may have been too long, or that goes on at the end."""
    for who, trail in each(e):
        for silence in silences(trail, e.window):
            most = e.unstopped(silence.after, silence.over)
            if most > e.limits.patience:
                what = f"{who} may have been silent for {most:.1f} s"
                return Unproven(f"{what}: too few looks to tell", _too_few(e, trail, silence))
            if silence.last and most > e.limits.closing:
                what = f"{who} was silent for the last {most:.1f} s"
                return Unproven(f"{what}: watch on to know", Check.END)
    return None


def own_count(e: Evidence) -> Verdict | None:
    """The guest measures its longest gap itself; an unbroken trail must show the same."""
    for who, trail in each(e):
        owns = [own for own in trail.owns if own.at <= e.end]
        gap = longest_gap(trail, e.window).ns
        rises = [
            b.max_gap_ns
            for a, b in pairwise(owns)
            if b.at > e.baseline.began and b.max_gap_ns > a.max_gap_ns
        ]
        own = owns[-1].max_gap_ns if owns else 0
        if gap > own or (rises and max(rises) > gap):
            what = f"{who} counts {own / 1e9:.3f} s as its longest gap, its beats {gap / 1e9:.3f} s"
            return Unproven(what, Check.OWN_COUNT)
    return None


def parked(e: Evidence) -> Verdict | None:
    """Require that a guest that is said to be parked is silent, and in sight."""
    if e.parked is None:
        return None
    for who, trail in each(e):
        *_, last = silences(trail, e.window)
        if last.least <= e.limits.closing:
            saw = f"{who} beats" if last.most <= e.limits.closing else f"{who} was out of sight"
            what = f"the caretaker says that the guest is parked ({e.parked.why}), and {saw}"
            return Unproven(what, Check.PARKED)
        if found := early(e, who, trail) or _moved(who, trail, last):
            return found
    return None


def _silent(e: Evidence, who: str, trail: Trail, silence: Silence) -> Verdict:
    least = e.unstopped(silence.by, silence.by + silence.least)
    what = f"{who} was silent for {least:.1f} s {_when(e, silence)}"
    if silence.after < e.first_touched and silent_before(e, trail, e.first_touched):
        return Unproven(f"{what}: that began before", Check.EARLY)
    if least - e.stalled(silence.proven) <= e.limits.patience:
        return Unproven(f"{what}, and L0 itself stalled then", Check.JITTER)
    found = _moved(who, trail, silence) or _unsearched(e, trail, what)
    return found or Lost(f"{what}; {e.limits.patience:.1f} s is the limit", Check.SILENCE)


def _moved(who: str, trail: Trail, silence: Silence) -> Unproven | None:
    if not any(silence.by < at <= silence.over for at in trail.moves):
        return None
    if silence.last:
        return Unproven(f"{who} never beat on the page that was watched in the end", Check.PAGE)
    what = f"{who} beats on another page than was watched for {silence.most:.1f} s before"
    return Unproven(f"{what}: what was silent was a page, and not the guest", Check.PAGE)


def _unsearched(e: Evidence, trail: Trail, what: str) -> Unproven | None:
    """A page that beats no more is a death only if the guest beats on no other page."""
    if e.search is None:
        return Unproven(f"{what}, and its host's memory was not searched for it", Check.SEARCH)
    if found := e.search.elsewhere(trail.vcpu):
        return Unproven(f"{what} on the page that was watched, and beats at {where(found)}",
                        Check.ELSEWHERE)  # fmt: skip
    if not e.search.whole:
        return Unproven(f"{what}, and not all of its host's memory could be read", Check.SEARCH)
    return None


def _when(e: Evidence, silence: Silence) -> str:
    to = "to the end of the watch" if silence.last else "and then beat on"
    if not isinstance(e.disruption, Happened):
        return to
    return f"from {silence.by - e.struck:+.1f} s after {e.disruption.what} {to}"


def _too_few(e: Evidence, trail: Trail, silence: Silence) -> Check:
    """Distinguish an eye that L0 kept from looking from one that looked and could not see."""
    stretch = Window(silence.after, silence.over)
    blind = any(
        stretch.overlap(Window(b.began, e.end if b.ended is None else b.ended)) > 0
        for b in trail.blinds
    )
    most = e.unstopped(silence.after, silence.over)
    late = most - e.stalled(stretch) <= e.limits.patience
    return Check.JITTER if late and not blind else Check.EYE
