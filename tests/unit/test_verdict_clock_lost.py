# SPDX-License-Identifier: Apache-2.0
"""A clock of another rate, a step and a pace too low are losses, if they came after the strike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lab.observe.trail import Trail
from lab.observe.window import Window
from lab.verdict.evidence import Evidence, Limits
from lab.verdict.pace_checks import clock
from lab.verdict.verdict import Check, Lost, Unproven
from tests.support.made_trails import AHEAD_S, every, evidence_of, steady, trail_of
from tests.support.told import a_loss, no_proof, numbers

LOOKS = every(0.5, 0.0, 30.0)


def by_clock(told: Callable[[float], float], **more: Any) -> Evidence:
    """Return evidence of a guest whose clock tells these instants of its beats."""
    beats = every(0.1, 0.0, 30.0)
    stamps = [AHEAD_S + told(at) for at in beats]
    return evidence_of(trail_of(beats, LOOKS, stamps=stamps), **more)


BEFORE = "the clock of vCPU 0 ran at 1.10 of L0's before it was struck"


@pytest.mark.parametrize(
    ("rate", "said"),
    [
        (1.04, None),
        (0.96, None),
        (1.10, no_proof(BEFORE, Check.CLOCK_RATE)),
        (0.9, no_proof(BEFORE.replace("1.10", "0.90"), Check.CLOCK_RATE)),
    ],
)
def test_a_clock_that_was_wrong_before_proves_nothing(rate: float, said: Unproven | None) -> None:
    assert clock(by_clock(lambda at: at * rate, limits=Limits(patience=5, clock_step=5))) == said


@pytest.mark.parametrize(("rate", "lost"), [(1.04, False), (1.07, True), (0.93, True)])
def test_a_clock_of_another_rate_afterwards_is_a_loss(rate: float, *, lost: bool) -> None:
    e = by_clock(
        lambda at: at if at <= 10.0 else 10.0 + (at - 10.0) * rate,
        limits=Limits(patience=5.0, clock_step=4.0),
    )
    said = a_loss(f"the clock of vCPU 0 ran at {rate:.2f} of L0's", Check.CLOCK_RATE)
    assert clock(e) == (said if lost else None)


def test_a_rate_is_held_against_what_it_was_before() -> None:
    e = by_clock(
        lambda at: 1.04 * at if at <= 10.0 else 10.4 + (at - 10.0) * 0.98,
        limits=Limits(patience=5.0, clock_step=4.0),
    )
    assert clock(e) == a_loss("the clock of vCPU 0 ran at 0.98 of L0's", Check.CLOCK_RATE)


def test_a_rate_without_one_before_is_held_against_l0s() -> None:
    limits = Limits(patience=5.0, clock_step=4.0)
    beats = [10.0, *every(0.1, 10.1, 30.0)]
    for rate, lost in ((1.0, False), (1.1, True)):
        trail = trail_of(beats, LOOKS, stamps=[AHEAD_S + rate * at for at in beats])
        assert (clock(evidence_of(trail, limits=limits)) is not None) is lost


def stepping(by: float, at: float = 12.0, **more: Any) -> Evidence:
    return by_clock(lambda t: t + (by if t > at else 0.0), **more)


@pytest.mark.parametrize(("by", "lost"), [(0.2, False), (0.25, True), (-0.25, True), (-0.2, False)])
def test_a_step_beyond_the_limit_is_a_loss(by: float, *, lost: bool) -> None:
    said = a_loss(f"the clock of vCPU 0 stepped by {by:+.2f} s against L0's", Check.CLOCK_STEP)
    assert clock(stepping(by)) == (said if lost else None)


def test_a_step_before_the_strike_proves_nothing() -> None:
    what = "the clock of vCPU 0 stepped by +1.00 s against L0's"
    said = no_proof(f"{what} before the disruption", Check.CLOCK_STEP)
    assert clock(stepping(1.0, 7.0)) == said
    assert isinstance(clock(stepping(1.0, 9.6)), Lost)  # known by the look at 10.0 only


def test_what_l0_stood_still_for_is_no_step_of_the_guest() -> None:
    what = "the clock of vCPU 0 stepped by +0.40 s against L0's"
    said = no_proof(f"{what}, and L0 itself stood still then", Check.JITTER)
    assert clock(stepping(0.4, voids=(Window(12.2, 12.4),))) == said
    assert isinstance(clock(stepping(0.4, voids=(Window(12.2, 12.3),))), Lost)
    assert isinstance(clock(stepping(0.4, voids=(Window(11.0, 12.1),))), Lost)
    assert isinstance(clock(stepping(0.4, voids=(Window(12.5, 14.0),))), Lost)


@pytest.mark.parametrize(("step", "lost"), [(0.9, False), (1.2, True)])
def test_beats_of_less_than_a_tenth_of_their_pace_are_a_loss(step: float, *, lost: bool) -> None:
    beats = [*every(0.1, 0.1, 10.0), *every(step, 10.0 + step, 30.0)]
    e = evidence_of(trail_of(beats, every(0.1, 0.0, 30.0)))
    found = clock(e)
    assert (found is not None) is lost
    if found is not None:
        assert found.check is Check.BEAT_RATE
        assert numbers(found.reason)[:2] == ["0", "0.9"]
        assert numbers(found.reason)[2].startswith("10.")


def test_a_guest_that_was_dead_before_has_no_clock_to_lose() -> None:
    beats = [*every(0.1, 0.0, 5.0)]
    trail: Trail = trail_of(beats, LOOKS)
    found = clock(evidence_of(trail))
    assert found == no_proof("vCPU 0 was not seen alive when it was struck", Check.EARLY)


def test_each_vcpu_is_asked_for_its_clock() -> None:
    wrong = stepping(1.0).trails[0]
    wrong.vcpu = 1
    assert clock(evidence_of(steady(), wrong)) == a_loss(
        "the clock of vCPU 1 stepped by +1.00 s against L0's", Check.CLOCK_STEP
    )
