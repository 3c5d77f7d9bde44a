# SPDX-License-Identifier: Apache-2.0
"""The limits of clock, pace and rewind themselves are allowed; what is beyond by a hair is not."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from lab.observe.window import Window
from lab.verdict.clock import Clock, clock_of
from lab.verdict.evidence import Evidence, Limits
from lab.verdict.pace_checks import clock, rewind
from lab.verdict.unseen import rewind_bound
from lab.verdict.verdict import Check
from tests.support.made_trails import AHEAD_S, every, evidence_of, trail_of

LOOKS = every(0.5, 0.0, 30.0)
LOOSE = Limits(patience=5.0, clock_step=5.0)


def told_by(told: Callable[[float], float]) -> Evidence:
    beats = every(0.1, 0.0, 30.0)
    stamps = [AHEAD_S + told(at) for at in beats]
    return evidence_of(trail_of(beats, LOOKS, stamps=stamps), limits=LOOSE)


def seen(e: Evidence) -> Clock:
    return clock_of(e, e.trails[0])


def judged(e: Evidence, **limits: float) -> Check | None:
    found = clock(replace(e, limits=replace(e.limits, **limits)))
    return None if found is None else found.check


def below(limit: float) -> float:
    return math.nextafter(limit, 0.0)


def test_a_rate_before_may_differ_by_the_limit() -> None:
    e = told_by(lambda at: 1.25 * at)
    rate = seen(e).rate_before
    assert rate is not None
    assert judged(e, clock_rate=rate - 1) is None
    assert judged(e, clock_rate=below(rate - 1)) is Check.CLOCK_RATE


def test_a_rate_after_may_differ_by_the_limit() -> None:
    e = told_by(lambda at: at if at <= 10 else 10 + 1.25 * (at - 10))
    before, after = seen(e).rate_before, seen(e).rate_after
    assert before is not None
    assert after is not None
    assert judged(e, clock_rate=abs(after - before)) is None
    assert judged(e, clock_rate=below(abs(after - before))) is Check.CLOCK_RATE


def stepped() -> Evidence:
    return told_by(lambda at: at + (0.75 if at > 12 else 0.0))


def test_a_clock_may_step_by_the_limit() -> None:
    step = seen(stepped()).step
    assert step is not None
    assert judged(stepped(), clock_step=step.beyond) is None
    assert judged(stepped(), clock_step=below(step.beyond)) is Check.CLOCK_STEP


def test_a_step_less_what_l0_stood_still_for_may_be_the_limit() -> None:
    e = replace(stepped(), voids=(Window(12.25, 12.5),))
    step = seen(e).step
    assert step is not None
    assert judged(e, clock_step=step.beyond - 0.25) is Check.JITTER
    assert judged(e, clock_step=below(step.beyond - 0.25)) is Check.CLOCK_STEP


def test_a_pace_may_be_the_limit() -> None:
    beats = [*every(0.1, 0.1, 10.0), *every(0.5, 10.5, 30.0)]
    e = evidence_of(trail_of(beats, every(0.1, 0.0, 30.0)), limits=LOOSE)
    share = seen(e).beat_share
    assert share is not None
    assert judged(e, beat_rate=share) is None
    assert judged(e, beat_rate=math.nextafter(share, 1.0)) is Check.BEAT_RATE


@pytest.mark.parametrize(
    ("void", "beyond", "check"),
    [
        (None, False, None),
        (None, True, Check.REWIND_BOUND),
        (Window(12.5, 13.0), False, Check.JITTER),
        (Window(12.5, 13.0), True, Check.REWIND_BOUND),
    ],
)
def test_a_rewind_may_have_been_missed_by_the_limit(
    void: Window | None, check: Check | None, *, beyond: bool
) -> None:
    beats = [*every(0.1, 0.0, 12.0), *every(0.1, 14.0, 30.0)]
    trail = trail_of(beats, [*every(0.5, 0.0, 12.0), *every(0.5, 15.0, 30.0)])
    e = evidence_of(trail, voids=() if void is None else (void,))
    limit = rewind_bound(e, trail).seconds - (0.0 if void is None else 0.5)
    e = replace(e, limits=replace(e.limits, rewind=below(limit) if beyond else limit))
    found = rewind(e)
    assert (None if found is None else found.check) is check
