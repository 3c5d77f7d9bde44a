# SPDX-License-Identifier: Apache-2.0
"""A guest's clock and pace, measured on trails that are made of instants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from lab.observe.window import Window
from lab.verdict.clock import Clock, Offset, Step, clock_of, offsets
from lab.verdict.evidence import Evidence, GuestClock, ParkedClaim, Stop
from lab.verdict.pace_checks import clock
from tests.support.made_trails import AHEAD_S, every, evidence_of, near, trail_of

LOOKS = every(0.5, 0.0, 30.0)


def by_clock(told: Callable[[float], float], **more: Any) -> Evidence:
    """Return evidence of a guest whose clock tells these instants of its beats."""
    beats = every(0.1, 0.0, 30.0)
    stamps = [AHEAD_S + told(at) for at in beats]
    return evidence_of(trail_of(beats, LOOKS, stamps=stamps), **more)


def seen(e: Evidence) -> Clock:
    return clock_of(e, e.trails[0])


def test_an_offset_is_the_largest_of_each_half_second() -> None:
    beats = [0.1, 0.2, 0.55, 0.9, 1.2]
    trail = trail_of(beats, [0.1, 0.3, 0.6, 0.9, 1.4], takes=0.05)
    found = offsets(trail, Window(0.0, 9.0))
    told = [(round(o.at, 6), round(o.ahead, 6)) for o in found]
    assert told == [(0.15, 99.95), (0.95, 99.95), (1.45, 99.75)]
    told = [(round(o.at, 6), round(o.ahead, 6)) for o in offsets(trail, Window(0.2, 0.7))]
    assert told == [(0.35, 99.85), (0.65, 99.9)]


def test_a_steady_clock_goes_as_l0s_does() -> None:
    found = seen(by_clock(lambda at: at))
    assert found.rate_before == near(1.0)
    assert found.rate_after == near(1.0)
    assert found.step is not None
    assert found.step.seconds == near(0.0)
    assert found.beat_share == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("rate", [0.01, 0.9, 1.2])
def test_a_rate_is_measured_before_and_after_by_itself(rate: float) -> None:
    found = seen(by_clock(lambda at: at if at <= 10.0 else 10.0 + (at - 10.0) * rate))
    assert found.rate_before == near(1.0)
    assert found.rate_after == pytest.approx(rate, abs=0.001)


def test_what_was_seen_at_the_strike_is_of_before() -> None:
    e = by_clock(lambda at: at if at < 10.0 else at + 3.0)
    found = seen(e)
    assert found.rate_after == near(1.0)
    assert found.step == Step(near(3.0), near(3.0 - 0.05 * 0.5), Window(9.5, 10.0))


@pytest.mark.parametrize(("looks", "rate"), [(3, None), (4, 1.0), (7, 1.0)])
def test_a_rate_is_told_of_three_slopes_a_second_long(looks: int, rate: float | None) -> None:
    beats = every(0.5, 4.0, 9.0)  # 0.5 s apart: of three, only the outer two tell; of four, three
    stamps = [AHEAD_S + at + 0.1 * (n % 2) for n, at in enumerate(beats)]
    trail = trail_of(beats, beats[:looks], stamps=stamps)
    assert clock_of(evidence_of(trail), trail).rate_before == rate


def test_two_slopes_tell_no_rate() -> None:
    few = [4.0, 4.75, 5.0, 5.5]  # a second apart: the first, and each of the last two
    trail = trail_of(few, few)
    assert clock_of(evidence_of(trail), trail).rate_before is None


def test_two_small_steps_are_one_from_the_first_look_on() -> None:
    looks = [4.0, 4.5, 5.0]
    trail = trail_of(looks, looks, stamps=[104.0, 104.75, 105.5])
    found = clock_of(evidence_of(trail), trail).step
    assert found == Step(0.5, 0.45, Window(4.0, 5.0))


def test_a_look_at_the_very_strike_is_of_before() -> None:
    known = trail_of(LOOKS, [8.5, 9.0, 9.5, 10.0])
    assert clock_of(evidence_of(known), known).rate_before == 1.0
    late = trail_of(LOOKS, [10.0, 10.5, 11.0, 11.5])
    assert clock_of(evidence_of(late), late).rate_after is None


def test_of_equal_offsets_in_half_a_second_the_first_counts() -> None:
    found = offsets(trail_of([0.125, 0.25], [0.125, 0.25]), Window(0.0, 1.0))
    assert found == [Offset(0.125, AHEAD_S)]


def test_each_half_second_has_its_own_largest_offset() -> None:
    stamps = [AHEAD_S + gained for gained in (5.125, 1.5, 2.75)]
    found = offsets(trail_of([0.125, 0.5, 0.75], [0.125, 0.5, 0.75], stamps=stamps), Window(0, 1))
    assert found == [Offset(0.125, AHEAD_S + 5), Offset(0.75, AHEAD_S + 2)]


def test_the_largest_step_is_found_forward_and_back() -> None:
    forward = seen(by_clock(lambda at: at + (0.5 if at > 12.0 else 0.0))).step
    assert forward is not None
    assert forward.seconds == near(0.5)
    back = seen(by_clock(lambda at: at + (0.0 if at > 12.0 else 0.5))).step
    assert back is not None
    assert back.seconds == near(-0.5)
    assert back.beyond == near(0.5 - 0.05 * 0.5)
    assert back.between == Window(12.0, 12.5)


def test_small_steps_add_up_from_the_first_look_on() -> None:
    e = by_clock(lambda at: at - 0.08 * at)
    step = seen(e).step
    assert step is not None
    assert step.seconds == near(-2.4)
    assert step.between == Window(0.0, 30.0)
    assert step.beyond == near(2.4 - 0.05 * 30.0)


def test_too_few_beats_tell_nothing() -> None:
    trail = trail_of([0.0], LOOKS)
    found = clock_of(evidence_of(trail), trail)
    assert (found.rate_before, found.rate_after, found.step) == (None, None, None)


STOP = Stop(12.0, 14.0, "parked")


@pytest.mark.parametrize(
    ("clock", "jump", "step"),
    [
        (GuestClock.RUNS, 0.0, 0.0),
        (GuestClock.RUNS, -2.0, -2.0),
        (GuestClock.RUNS, 1.0, 1.0),
        (GuestClock.STANDS, 0.0, 2.0),
        (GuestClock.STANDS, -2.0, 0.0),
        (GuestClock.EITHER, 0.0, 0.0),
        (GuestClock.EITHER, -2.0, 0.0),
        (GuestClock.EITHER, -1.0, 0.0),
        (GuestClock.EITHER, -3.0, -1.0),
        (GuestClock.EITHER, 0.5, 0.5),
        (GuestClock.EITHER, 1.0, 1.0),
    ],
)
def test_a_stop_accounts_for_what_its_abi_lets_a_clock_do(
    clock: GuestClock, jump: float, step: float
) -> None:
    beats = [*every(0.1, 0.0, 12.0), *every(0.1, 14.1, 30.0)]
    stamps = [AHEAD_S + at + (jump if at > 12.0 else 0.0) for at in beats]
    looks = [*every(0.5, 0.0, 12.0), *every(0.5, 14.5, 30.0)]
    trail = trail_of(beats, looks, stamps=stamps)
    found = seen(evidence_of(trail, stops=(replace(STOP, clock=clock),))).step
    assert found is not None
    assert found.seconds == pytest.approx(step, abs=1e-6)


def test_a_parked_guests_clock_runs() -> None:
    trail = trail_of(every(0.1, 0.0, 10.0), LOOKS)
    e = evidence_of(trail, parked=ParkedClaim("halted"))
    found = clock_of(e, trail)
    assert found.beats_after is None
    assert found.beat_share is None


@pytest.mark.parametrize(
    ("before", "after", "share"),
    [(10.0, 5.0, 0.5), (None, 5.0, None), (0.0, 5.0, None), (10.0, None, None), (10.0, 0.0, 0.0)],
)
def test_a_share_of_no_beats_is_none(
    before: float | None, after: float | None, share: float | None
) -> None:
    assert Clock(None, None, None, before, after).beat_share == share


def test_pace_leaves_out_stops_and_the_longest_silence() -> None:
    beats = [*every(0.1, 0.1, 12.0), *every(0.1, 16.1, 20.0), *every(0.1, 22.1, 30.0)]
    trail = trail_of(beats, every(0.1, 0.0, 30.0))
    e = evidence_of(trail, stops=(Stop(12.0, 16.0, "moved"),))
    found = clock_of(e, trail)
    assert found.beats_before == near(90 / 8.8)
    # 20 s after it was struck, 4 of them stopped, and a silence of 2.2 s: 140 beats.
    assert found.beats_after == pytest.approx(140 / 13.8, rel=0.01)


def test_no_more_than_patience_is_left_out_of_a_pace() -> None:
    beats = [*every(0.1, 0.1, 12.0), *every(0.1, 21.0, 30.0)]
    trail = trail_of(beats, every(0.1, 0.0, 30.0))
    found = clock_of(evidence_of(trail), trail).beats_after
    assert found == pytest.approx(111 / 15.0, rel=0.02)


def test_the_pace_is_that_of_the_last_half_if_that_is_slower() -> None:
    beats = [*every(0.1, 0.1, 20.0), *every(1.0, 20.5, 30.0)]
    trail = trail_of(beats, every(0.1, 0.0, 30.0))
    found = clock_of(evidence_of(trail), trail).beats_after
    assert found == pytest.approx(10 / 8.9, rel=0.02)
    fast_again = [*every(0.1, 0.1, 10.0), *every(1.0, 10.5, 20.0), *every(0.1, 20.1, 30.0)]
    trail = trail_of(fast_again, every(0.1, 0.0, 30.0))
    found = clock_of(evidence_of(trail), trail).beats_after
    assert found == pytest.approx(110 / 18.9, rel=0.02)


@pytest.mark.parametrize(("end", "told"), [(11.1, False), (11.4, True)])
def test_a_pace_is_told_of_a_second_that_was_free(end: float, *, told: bool) -> None:
    trail = trail_of(every(0.1, 0.0, 30.0), every(0.1, 0.0, 30.0))
    found = clock_of(evidence_of(trail, end=end), trail).beats_after
    assert (found is not None) is told


def test_a_guest_does_not_slow_down_while_l0_stands_still() -> None:
    stalled = (Window(18.0, 29.5),)
    trail = trail_of([*every(0.1, 0.1, 18.0), *every(0.1, 29.6, 30.0)], every(0.1, 0.0, 30.0))
    assert clock(evidence_of(trail, voids=stalled)) is None
    found = clock_of(evidence_of(trail, voids=stalled), trail)
    assert found.beats_after == pytest.approx(85 / 8.3, rel=0.02)
    assert clock(evidence_of(trail)) is not None


def test_a_pace_is_told_of_a_second_to_the_very_bound() -> None:
    beats = every(0.25, 0.0, 30.0)
    trail = trail_of(beats, beats)  # silent for 0.5 s at the most
    assert clock_of(evidence_of(trail, end=11.5), trail).beats_after == 6.0
    assert clock_of(evidence_of(trail, end=11.375), trail).beats_after is None
