# SPDX-License-Identifier: Apache-2.0
"""Silences, gaps and beats of a trail that is made of instants, each known exactly."""

from __future__ import annotations

import pytest

from lab.observe.window import Window
from lab.verdict.silence import (
    Gap,
    Silence,
    beats,
    drift,
    last_seen,
    longest,
    longest_gap,
    silences,
)
from tests.support.made_trails import AHEAD_S, every, trail_of

# Seen by looks at 1, 2, 4 and 7; those at 3, 5, 6 and 8 see nothing new. Each takes 0.25 s.
TRAIL = trail_of([0.9, 1.9, 3.5, 3.7, 6.5], [1, 2, 3, 4, 5, 6, 7, 8], takes=0.25)
MS = 1_000_000


def test_each_stretch_between_beats_is_a_silence() -> None:
    assert list(silences(TRAIL, Window(0.0, 9.0))) == [
        Silence(0.0, 1.25, 0.0, 0.0, 1.25),
        Silence(0.0, 2.25, 0.0, 1.25, 2.25),
        Silence(0.75, 3.25, 1.0, 2.25, 4.25),
        Silence(1.75, 4.25, 3.0, 4.25, 7.25),
        Silence(0.75, 3.0, 6.0, 7.25, 9.0, last=True),
    ]


def test_a_window_begins_after_a_beat_and_ends_with_one() -> None:
    assert list(silences(TRAIL, Window(1.25, 7.25))) == [
        Silence(0.0, 1.0, 1.25, 1.25, 2.25),
        Silence(0.75, 3.0, 1.25, 2.25, 4.25),
        Silence(1.75, 4.25, 3.0, 4.25, 7.25),
        Silence(0.0, 1.25, 6.0, 7.25, 7.25, last=True),
    ]


def test_a_window_without_a_beat_is_silent_from_end_to_end() -> None:
    found = list(silences(TRAIL, Window(4.5, 6.5)))
    assert found == [Silence(1.5, 2.0, 4.5, 4.5, 6.5, last=True)]
    assert found[0].proven == Window(4.5, 6.0)


def test_a_window_without_a_clear_look_proves_no_silence() -> None:
    assert list(silences(TRAIL, Window(0.0, 0.5))) == [Silence(0.0, 0.5, 0.0, 0.0, 0.5, last=True)]


def test_the_look_that_ends_with_the_window_is_in_it() -> None:
    assert list(silences(TRAIL, Window(7.25, 8.25)))[-1].least == 0.75
    assert list(silences(TRAIL, Window(7.25, 8.24)))[-1].least == 0.0


def test_the_longest_silence_is_the_one_that_may_be() -> None:
    assert longest(TRAIL, Window(0.0, 7.25)) == Silence(1.75, 4.25, 3.0, 4.25, 7.25)
    assert longest(TRAIL, Window(0.0, 7.2)).last


@pytest.mark.parametrize(
    ("ended", "gap"),
    [
        (0.5, Gap(0, 0, 0.0)),
        (1.25, Gap(0, 0, 0.0)),
        (2.25, Gap(1000 * MS, 100_900 * MS, 2.25)),
        (4.25, Gap(1600 * MS, 101_900 * MS, 4.25)),
        (7.24, Gap(1600 * MS, 101_900 * MS, 4.25)),
        (7.25, Gap(2800 * MS, 103_700 * MS, 7.25)),
        (9.0, Gap(2800 * MS, 103_700 * MS, 7.25)),
    ],
)
def test_the_longest_step_is_between_beats_of_one_look_or_two(ended: float, gap: Gap) -> None:
    assert longest_gap(TRAIL, Window(0.0, ended)) == gap


def test_one_look_alone_proves_silence_up_to_it() -> None:
    found = list(silences(trail_of([], [1.0]), Window(0.0, 2.0)))
    assert found == [Silence(1.0, 2.0, 0.0, 0.0, 2.0, last=True)]


def test_a_step_is_told_where_it_began_within_one_look() -> None:
    trail = trail_of([1.0, 1.125, 1.25, 1.75, 2.0], [1.0, 3.0])
    assert longest_gap(trail, Window(0.0, 3.0)) == Gap(500 * MS, 101_250 * MS, 3.0)


def test_a_step_belongs_to_the_window_of_its_later_beat() -> None:
    assert longest_gap(TRAIL, Window(2.25, 4.25)).ns == 1600 * MS
    assert longest_gap(TRAIL, Window(4.25, 5.0)) == Gap(0, 0, 4.25)


def test_no_step_leads_over_beats_that_nobody_saw() -> None:
    trail = trail_of([1, 2, 3, 8, 9], [1.5, 3.5, 9.5])
    assert longest_gap(trail, Window(0.0, 10.0)).ns == 5000 * MS
    trail.seq[2] += 3  # beats 4 to 6 were overrun
    assert longest_gap(trail, Window(0.0, 10.0)) == Gap(1000 * MS, 101_000 * MS, 3.5)


def test_of_equal_steps_the_first_is_told() -> None:
    assert longest_gap(trail_of([1, 2, 3], [1, 2, 3]), Window(0.0, 9.0)).at_ns == 101_000 * MS


@pytest.mark.parametrize(
    ("began", "ended", "count"),
    [(0, 9, 5), (0, 1, 0), (0, 1.25, 1), (1.25, 4.25, 3), (4.25, 7, 0), (4.25, 7.25, 1), (2, 3, 1)],
)
def test_beats_count_where_they_were_first_seen(began: float, ended: float, count: int) -> None:
    assert beats(TRAIL, Window(began, ended)) == count


@pytest.mark.parametrize(
    ("at", "seen"), [(1.0, None), (1.25, 1.25), (2.24, 1.25), (2.25, 2.25), (9.0, 7.25)]
)
def test_the_newest_beat_is_the_one_seen_by_then(at: float, seen: float | None) -> None:
    assert last_seen(TRAIL, at) == seen


def test_drift_is_what_the_guests_clock_gained() -> None:
    gains = [n + AHEAD_S + n * 0.01 for n in range(9)]
    trail = trail_of(range(9), range(9), stamps=gains)
    assert drift(trail, Window(0.0, 8.0)) == pytest.approx(0.08)
    assert drift(trail, Window(2.0, 4.5)) == pytest.approx(0.02)
    assert drift(trail, Window(2.0, 3.0)) == pytest.approx(0.01)
    assert drift(trail, Window(2.0, 2.5)) is None


def test_drift_is_measured_from_the_newest_beat_of_each_look() -> None:
    trail = trail_of(every(0.25, 0.25, 4.0), [1.0, 2.0, 3.0, 4.0])
    assert drift(trail, Window(0.0, 4.0)) == 0.0
