# SPDX-License-Identifier: Apache-2.0
"""What is said of a guest that was to go on after it had stood still."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lab.observe.search import Search, Sighting
from lab.observe.window import Window
from lab.verdict.evidence import Evidence, Limits, MemoryWitness, ParkedClaim, Stop
from lab.verdict.judge import judge, judge_resumed, judge_through
from lab.verdict.verdict import (
    Check,
    Lost,
    Parked,
    Scope,
    Survived,
)
from tests.support.made_trails import every, evidence_of, steady, trail_of
from tests.support.told import numbers

LOOKS = every(0.1, 0.0, 30.0)
SHORT = Limits(patience=5.0)
HERE = Search((Sighting(0, 0x1000, 9, beats=True),), (0x1000,))
DIGEST = MemoryWitness(before="a", before_at=9.5, after="a", after_at=20.0)


def living(**more: Any) -> Evidence:
    return evidence_of(steady(), **({"search": HERE} | more))


def dead(**more: Any) -> Evidence:
    trail = trail_of(every(0.1, 0.0, 10.0), LOOKS)
    return evidence_of(trail, search=Search((), (0x1000,)), **more)


RESUMED = Window(20.0, 30.0)


def resumed(*beats: float, **more: Any) -> Evidence:
    """Return evidence of a guest that was parked from 10 to 20, and then beat as said."""
    trail = trail_of([*every(0.1, 0.0, 10.0), *beats], LOOKS)
    known = {"parked": ParkedClaim("halted"), "search": HERE, "end": 20.0}
    return evidence_of(trail, **(known | more))


def test_a_guest_that_goes_on_as_itself_is_what_it_was_before() -> None:
    e = resumed(*every(0.1, 20.1, 30.0))
    found = judge_through(e, RESUMED, "it was parked")
    assert found == judge(e)
    assert isinstance(found, Parked)


def test_a_guest_that_does_not_go_on_is_lost_after_it_was_to() -> None:
    e = resumed(search=Search((), (0x1000,)))
    found = judge_through(e, RESUMED, "it was parked")
    assert isinstance(found, Lost)
    assert found.check is Check.SILENCE
    assert numbers(found.reason)[:2] == ["0", "10.0"]
    assert found.reason != judge_resumed(e, RESUMED, "it was parked").reason
    assert found.figures.watched_s == 30.0
    assert judge_through(e, None, "").check is Check.PARKED


def test_what_was_lost_before_is_not_asked_how_it_went_on() -> None:
    e = replace(dead(end=20.0), outside_eye=True)
    assert judge_through(e, RESUMED, "it was parked") == judge(e)


def test_memory_that_goes_on_as_another_guest_is_lost_with_its_scope() -> None:
    e = resumed(scope=Scope.MEMORY, memory=replace(DIGEST, before_at=10.0), parked=None,
                search=Search((), (0x1000,)))  # fmt: skip
    assert isinstance(judge(e), Survived)
    found = judge_through(e, RESUMED, "its memory was preserved")
    assert (type(found), found.scope) == (Lost, Scope.MEMORY)


def test_going_on_is_judged_from_the_first_look_with_one_stop_more() -> None:
    stop = Stop(9.2, 9.4, "moved")
    e = resumed(*every(0.1, 20.1, 30.0), stops=(stop,), memory=DIGEST, scope=Scope.MEMORY)
    wanted = replace(
        e, end=30.0, scope=Scope.RUNNING, memory=None, parked=None,
        stops=(stop, Stop(9.5, 20.0, "it was parked")),
    )  # fmt: skip
    assert judge_resumed(e, RESUMED, "it was parked") == judge(wanted)
    assert isinstance(judge_resumed(e, RESUMED, "it was parked"), Survived)


def test_a_stop_after_it_went_on_is_one_still() -> None:
    beats = [*every(0.1, 20.1, 22.0), *every(0.1, 27.0, 30.0)]
    e = resumed(*beats, stops=(Stop(22.0, 27.0, "moved"),), limits=replace(SHORT, patience=1.0))
    assert isinstance(judge_resumed(e, Window(20.0, 30.0), "it was parked"), Survived)


def test_a_guest_that_was_to_go_on_before_it_was_taken_was_never_stopped() -> None:
    e = living(end=20.0)
    before = Window(9.5, 30.0)
    wanted = replace(e, end=30.0, stops=(Stop(9.5, 9.5, "why"),))
    assert judge_resumed(e, before, "why") == judge(wanted)
