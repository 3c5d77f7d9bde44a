# SPDX-License-Identifier: Apache-2.0
"""The judge's checks of time: a guest's clock, its pace, and what a rewind could hide in; pure."""

from __future__ import annotations

from lab.observe.trail import Trail
from lab.observe.window import Window
from lab.verdict.alive import early
from lab.verdict.clock import Clock, clock_of
from lab.verdict.evidence import Evidence
from lab.verdict.memory_checks import each
from lab.verdict.unseen import rewind_bound
from lab.verdict.verdict import Check, Lost, Unproven, Verdict


def clock(e: Evidence) -> Verdict | None:
    """Require that the guest's clock goes as L0's does, and that the guest beats as it did."""
    for who, trail in each(e):
        seen = clock_of(e, trail)
        if found := _rate(e, who, trail, seen) or _step(e, who, trail, seen):
            return found
        share = seen.beat_share
        if share is not None and share < e.limits.beat_rate:
            what = f"{who} beat {seen.beats_after:.1f} times a second after it was struck"
            return early(e, who, trail) or Lost(
                f"{what}, {seen.beats_before:.1f} times before", Check.BEAT_RATE
            )
    return None


def rewind(e: Evidence) -> Verdict | None:
    """Require that no more can have been taken back unseen than the limit."""
    for who, trail in each(e):
        bound = rewind_bound(e, trail)
        if bound.seconds > e.limits.rewind:
            what = f"a rewind of {who} by {bound.beats} beats, {bound.seconds:.2f} s"
            late = bound.seconds - e.stalled(bound.stretch) <= e.limits.rewind
            blame = Check.JITTER if late else Check.REWIND_BOUND
            return Unproven(f"{what}, could have been missed: they were not seen", blame)
    return None


def _rate(e: Evidence, who: str, trail: Trail, seen: Clock) -> Verdict | None:
    before, after = seen.rate_before, seen.rate_after
    if before is not None and abs(before - 1) > e.limits.clock_rate:
        what = f"the clock of {who} ran at {before:.2f} of L0's before it was struck"
        return Unproven(what, Check.CLOCK_RATE)
    if after is None or abs(after - (1.0 if before is None else before)) <= e.limits.clock_rate:
        return None
    what = f"the clock of {who} ran at {after:.2f} of L0's"
    return early(e, who, trail) or Lost(what, Check.CLOCK_RATE)


def _step(e: Evidence, who: str, trail: Trail, seen: Clock) -> Verdict | None:
    step = seen.step
    if step is None or step.beyond <= e.limits.clock_step:
        return None
    what = f"the clock of {who} stepped by {step.seconds:+.2f} s against L0's"
    if step.between.ended < e.first_touched:
        return Unproven(f"{what} before the disruption", Check.CLOCK_STEP)
    behind = Window(step.between.ended - abs(step.seconds), step.between.ended)
    if step.beyond - e.stalled(behind) <= e.limits.clock_step:
        return Unproven(f"{what}, and L0 itself stalled then", Check.JITTER)
    return early(e, who, trail) or Lost(what, Check.CLOCK_STEP)
