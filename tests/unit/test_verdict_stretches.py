# SPDX-License-Identifier: Apache-2.0
"""Stretches of a watch: what they have in common, when the guest was taken, stopped and free."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.observe.identity import DidNot, Happened, Undisturbed
from lab.observe.window import Window
from lab.verdict.evidence import (
    GuestClock,
    Limits,
    MemoryWitness,
    ParkedClaim,
    Stop,
    together,
)
from tests.support.made_trails import evidence_of, steady


@pytest.mark.parametrize(
    ("other", "common"),
    [
        (Window(0.0, 1.0), 0.0),
        (Window(0.0, 2.0), 0.0),
        (Window(0.0, 3.0), 1.0),
        (Window(3.0, 4.0), 1.0),
        (Window(0.0, 9.0), 4.0),
        (Window(5.0, 9.0), 1.0),
        (Window(7.0, 9.0), 0.0),
    ],
)
def test_windows_have_in_common_what_both_cover(other: Window, common: float) -> None:
    mine = Window(2.0, 6.0)
    assert mine.length == 4.0
    assert mine.overlap(other) == other.overlap(mine) == common


@pytest.mark.parametrize(
    ("others", "covered"),
    [
        ([], 0.0),
        ([Window(12.0, 13.0)], 1.0),
        ([Window(8.0, 11.0)], 1.0),
        ([Window(19.0, 25.0)], 1.0),
        ([Window(0.0, 30.0)], 10.0),
        ([Window(12.0, 14.0), Window(13.0, 15.0)], 3.0),
        ([Window(13.0, 15.0), Window(12.0, 14.0)], 3.0),
        ([Window(12.0, 16.0), Window(13.0, 14.0)], 4.0),
        ([Window(12.0, 16.0), Window(13.0, 14.0), Window(15.0, 17.0)], 5.0),
        ([Window(12.0, 13.0), Window(15.0, 17.0)], 3.0),
        ([Window(1.0, 2.0), Window(25.0, 26.0)], 0.0),
        ([Window(14.0, 13.0)], 0.0),
    ],
)
def test_stretches_that_overlap_count_once(others: list[Window], covered: float) -> None:
    assert together(Window(10.0, 20.0), others) == covered


def test_limits_are_those_that_are_documented() -> None:
    wanted = Limits(
        patience=5.0, closing=1.0, live=1.0, rewind=1.0, clock_step=0.2, clock_rate=0.05,
        beat_rate=0.1,
    )  # fmt: skip
    assert Limits(patience=5.0) == wanted


def test_a_stop_is_one_in_which_the_clock_runs() -> None:
    stop = Stop(1.0, 2.0, "parked")
    assert (stop.clock, stop.window) == (GuestClock.RUNS, Window(1.0, 2.0))


@pytest.mark.parametrize("disruption", [Undisturbed(), DidNot("no"), None])
def test_a_control_counts_as_struck_from_the_beginning(
    disruption: Undisturbed | DidNot | None,
) -> None:
    e = evidence_of(steady(), disruption=disruption, baseline=Window(2.0, 9.0))
    assert (e.struck, e.first_touched, e.window) == (2.0, 2.0, Window(2.0, 30.0))


@pytest.mark.parametrize(
    ("stop", "taken"),
    [
        (Stop(9.5, 12.0, "parked"), 9.5),  # it stood when it was struck
        (Stop(9.5, 10.0, "parked"), 9.5),
        (Stop(9.5, 9.9, "moved"), 10.0),  # over before
        (Stop(10.0, 12.0, "parked"), 10.0),
        (Stop(11.0, 12.0, "parked"), 10.0),
    ],
)
def test_guest_is_taken_when_the_stop_began_that_it_was_struck_in(stop: Stop, taken: float) -> None:
    assert evidence_of(steady(), stops=(stop,)).first_touched == taken


def test_a_guest_is_taken_by_whatever_came_first() -> None:
    digested = MemoryWitness(before="a", before_at=9.4, after="a", after_at=20.0)
    e = evidence_of(steady())
    assert e.first_touched == 10.0
    assert replace(e, memory=digested).first_touched == 9.4
    assert replace(e, handed=9.3).first_touched == 9.3
    assert replace(e, memory=digested, handed=9.6).first_touched == 9.4
    assert replace(e, handed=11.0).first_touched == 10.0


def test_a_parked_guest_stands_from_the_strike_on_and_in_its_other_stops() -> None:
    stop = Stop(9.0, 9.5, "moved")
    e = evidence_of(steady(), stops=(stop,))
    assert e.all_stops == (stop,)
    parked = replace(e, parked=ParkedClaim("halted"))
    assert parked.all_stops == (stop, Stop(10.0, 30.0, "halted"))
    assert parked.stopped(Window(9.0, 12.0)) == 2.5
    assert parked.unstopped(9.0, 12.0) == 0.5
    assert e.unstopped(9.0, 12.0) == 2.5


def test_no_stretch_is_free_for_less_than_nothing() -> None:
    e = evidence_of(steady(), disruption=Happened("kexec", 10.0, 12.0))
    assert e.unstopped(12.0, 11.0) == 0.0


def test_l0_stood_still_for_its_voids_within_a_stretch() -> None:
    e = evidence_of(steady(), voids=(Window(1.0, 3.0), Window(2.0, 4.0)))
    assert e.stalled(Window(2.0, 10.0)) == 2.0
