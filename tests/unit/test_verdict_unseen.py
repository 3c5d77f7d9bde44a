# SPDX-License-Identifier: Apache-2.0
"""The largest rewind that could have been missed, of trails that are made of instants."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.observe.window import Window
from lab.verdict.evidence import Stop
from lab.verdict.pace_checks import rewind
from lab.verdict.unseen import Bound, rewind_bound
from lab.verdict.verdict import Check
from tests.support.made_trails import every, evidence_of, near, trail_of
from tests.support.told import no_proof

BEATS = every(0.1, 0.0, 30.0)


def close(found: Bound, seconds: float, beats: int, stretch: Window) -> None:
    assert found.seconds == near(seconds)
    assert found.beats == beats
    assert (found.stretch.began, found.stretch.ended) == (
        near(stretch.began),
        near(stretch.ended),
    )


def test_beats_that_came_were_not_taken_back() -> None:
    trail = trail_of(BEATS, every(0.5, 0.0, 30.0), takes=0.05)
    # Looks 0.5 s apart, the second of which takes 0.05 s: five beats came of five and a half.
    found = rewind_bound(evidence_of(trail), trail)
    assert (round(found.seconds, 6), found.beats) == (0.05, 1)


def test_a_silence_could_hide_a_rewind_as_long() -> None:
    beats = [*every(0.1, 0.0, 12.0), *every(0.1, 14.0, 30.0)]
    looks = [*every(0.5, 0.0, 12.0), *every(0.5, 15.0, 30.0)]
    trail = trail_of(beats, looks)
    # From 12 to 15, eleven beats came: 1.9 s of beats could have been taken back.
    close(rewind_bound(evidence_of(trail), trail), 1.9, 19, Window(12.0, 15.0))


def test_of_two_stretches_alike_the_first_is_told() -> None:
    step = 0.125  # exact, and so is each sum of it
    beats = [*every(step, 0.0, 12.0), *every(step, 14.125, 20.0), *every(step, 22.125, 30.0)]
    looks = [*every(0.5, 0.0, 12.0), *every(0.5, 15.0, 20.0), *every(0.5, 23.0, 30.0)]
    trail = trail_of(beats, looks, period_ns=125_000_000)
    assert rewind_bound(evidence_of(trail), trail) == Bound(2.0, 16, Window(12.0, 15.0))


def test_beats_that_do_not_fit_are_counted_whole() -> None:
    beats = [*every(0.1, 0.0, 12.0), *every(0.1, 13.0, 30.0)]
    looks = [*every(0.5, 0.0, 12.0), 12.95, *every(0.5, 13.0, 30.0)]
    found = rewind_bound(evidence_of(t := trail_of(beats, looks)), t)
    close(found, 0.95, 10, Window(12.0, 12.95))


def test_a_stop_that_the_lab_ordered_hides_nothing() -> None:
    beats = [*every(0.1, 0.0, 12.0), *every(0.1, 14.0, 30.0)]
    trail = trail_of(beats, [*every(0.5, 0.0, 12.0), *every(0.5, 15.0, 30.0)])
    e = evidence_of(trail, stops=(Stop(12.5, 14.0, "parked"),))
    assert rewind_bound(e, trail).seconds == near(0.4)


def test_only_looks_from_the_baseline_to_the_end_count() -> None:
    looks = [0.0, 3.0, *every(0.5, 5.0, 20.0), 26.0, 30.0]
    trail = trail_of([*every(0.1, 0.0, 0.5), *every(0.1, 4.0, 20.0), 27.0], looks)
    early_on = evidence_of(trail, baseline=Window(3.5, 9.0), end=20.0)
    assert rewind_bound(early_on, trail).stretch.began >= 3.0
    assert rewind_bound(evidence_of(trail, end=20.0), trail).stretch == Window(0.0, 3.0)
    assert rewind_bound(evidence_of(trail), trail).stretch == Window(20.0, 26.0)
    to_the_look = evidence_of(trail, end=26.0)
    assert rewind_bound(to_the_look, trail).stretch == Window(20.0, 26.0)


def test_what_was_known_as_the_baseline_began_did_not_come_in_it() -> None:
    beats = [*every(0.1, 0.0, 2.0), *every(0.1, 4.0, 30.0)]
    trail = trail_of(beats, [*every(0.5, 0.0, 2.0), *every(0.5, 5.0, 30.0)])
    found = rewind_bound(evidence_of(trail, baseline=Window(2.25, 9.0)), trail)
    close(found, 1.9, 19, Window(2.0, 5.0))


def test_the_first_look_leaves_open_what_came_since_the_baseline_began() -> None:
    trail = trail_of([], [5.0])
    e = evidence_of(trail, baseline=Window(1.0, 9.0))
    close(rewind_bound(e, trail), 4.0, 40, Window(1.0, 5.0))


def test_beats_that_the_first_look_shows_came_since_the_baseline_began() -> None:
    trail = trail_of(every(0.1, 0.1, 2.0), [3.0])
    # 3.0 s until that look, in which twenty beats came: none was known before.
    close(rewind_bound(evidence_of(trail), trail), 1.0, 10, Window(0.0, 3.0))


def test_a_trail_without_looks_leaves_nothing_open() -> None:
    trail = trail_of([], [])
    e = evidence_of(trail, baseline=Window(2.0, 9.0))
    assert rewind_bound(e, trail) == Bound(0.0, 0, Window(2.0, 2.0))


def test_a_guest_without_a_pace_has_no_beats_to_take_back() -> None:
    trail = trail_of([0.0, 1.0], [0.0, 1.0, 3.0], period_ns=0)
    assert rewind_bound(evidence_of(trail), trail) == Bound(2.0, 0, Window(1.0, 3.0))


def test_a_rewind_that_was_seen_takes_back_no_time() -> None:
    trail = trail_of(BEATS, every(0.5, 0.0, 30.0))
    trail.seq[40] -= 100  # beats that came a second time, and were told of as what they are
    assert rewind_bound(evidence_of(trail), trail).seconds <= 0.5 + 1e-9


@pytest.mark.parametrize(("limit", "told"), [(1.9, False), (1.8, True)])
def test_more_than_the_limit_is_unproven(limit: float, *, told: bool) -> None:
    beats = [*every(0.1, 0.0, 12.0), *every(0.1, 14.0, 30.0)]
    trail = trail_of(beats, [*every(0.5, 0.0, 12.0), *every(0.5, 15.0, 30.0)])
    e = evidence_of(trail)
    e = replace(e, limits=replace(e.limits, rewind=limit + 1e-6))
    why = "a rewind of vCPU 0 by 19 beats, 1.90 s, could have been missed: nobody saw them"
    assert rewind(e) == (no_proof(why, Check.REWIND_BOUND) if told else None)
