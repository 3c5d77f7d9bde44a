# SPDX-License-Identifier: Apache-2.0
"""A guest that was stopped is judged over the moment at which it is resumed: nothing is left out.

The watch of a parked guest ends before it is adopted; these tests do to it, at that very moment,
each thing that a kernel or VMM may do to a guest that it restores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from lab.observe.identity import Happened
from lab.observe.window import Window
from lab.testing.simulated_guest import FakeVcpu, Rehearsal
from lab.verdict.evidence import Evidence, MemoryWitness, ParkedClaim
from lab.verdict.judge import judge, judge_resumed
from lab.verdict.verdict import Check, Lost, Parked, Scope, Survived
from tests.support.guests_wrong_in_time_and_place import shift

OTHER_BOOT = bytes(16)
Wrong = Callable[[Rehearsal, list[FakeVcpu]], None]


def nothing(_r: Rehearsal, _old: list[FakeVcpu]) -> None:
    pass


def rewound(r: Rehearsal, old: list[FakeVcpu]) -> None:
    r.guest.rewind(old)


def rebooted(r: Rehearsal, _old: list[FakeVcpu]) -> None:
    r.guest.restart(OTHER_BOOT)


def broken(r: Rehearsal, _old: list[FakeVcpu]) -> None:
    r.guest.break_chain(0)


def stripped_of_its_registers(r: Rehearsal, _old: list[FakeVcpu]) -> None:
    r.guest.vcpus[0].page = replace(r.guest.vcpus[0].page, faults=1)


def set_back(r: Rehearsal, _old: list[FakeVcpu]) -> None:
    shift(r, -4.8)


def set_back_behind_its_last_beat(r: Rehearsal, _old: list[FakeVcpu]) -> None:
    shift(r, -9.0)


def set_forward(r: Rehearsal, _old: list[FakeVcpu]) -> None:
    shift(r, 2.0)


def slowed_down(r: Rehearsal, _old: list[FakeVcpu]) -> None:
    r.guest.vcpus[0].page = replace(r.guest.vcpus[0].page, period_ns=1_000_000_000)


def left_silent(r: Rehearsal, _old: list[FakeVcpu]) -> None:
    r.guest.freeze()


def parked_and_adopted(do: Wrong) -> tuple[Evidence, Evidence, Window]:
    """Return what is known before the adoption, what is known after it, and the stretch after."""
    r = Rehearsal()
    old = r.guest.snapshot()
    r.watch(0.5)
    struck = r.now()
    r.guest.freeze()
    r.watch(8)
    claim = ParkedClaim("vCPU 0 PAUSED")
    before = replace(r.evidence(struck), parked=claim)
    began = r.guest.now
    r.guest.thaw()
    do(r, old)
    r.watch(8.3)
    known = replace(r.evidence(struck), parked=claim, end=before.end)
    return before, known, Window(began, r.guest.now)


def test_a_guest_that_goes_on_as_itself_survives_with_its_stop_excused() -> None:
    before, known, stretch = parked_and_adopted(nothing)
    assert isinstance(judge(before), Parked)
    assert isinstance(judge(known), Parked)
    found = judge_resumed(known, stretch, "parked")
    assert isinstance(found, Survived), found.reason


@pytest.mark.parametrize(
    ("do", "check"),
    [
        (rewound, Check.REWIND),
        (rebooted, Check.RESTART),
        (broken, Check.CHAIN),
        (stripped_of_its_registers, Check.FAULTS),
        (set_back, Check.CLOCK_STEP),
        (set_back_behind_its_last_beat, Check.CLOCK),
        (set_forward, Check.CLOCK_STEP),
        (slowed_down, Check.BEAT_RATE),
        (left_silent, Check.SILENCE),
    ],
)
def test_a_guest_that_is_wrong_when_it_goes_on_is_lost(do: Wrong, check: Check) -> None:
    _, known, stretch = parked_and_adopted(do)
    found = judge_resumed(known, stretch, "parked")
    assert (type(found), found.check) == (Lost, check), found.reason


@pytest.mark.parametrize("do", [rewound, rebooted, broken, stripped_of_its_registers])
def test_identity_is_judged_past_the_end_of_the_watch_too(do: Wrong) -> None:
    _, known, _ = parked_and_adopted(do)
    assert isinstance(judge(known), Lost)


def test_silence_is_counted_from_when_it_was_to_go_on_and_not_from_its_first_beat() -> None:
    r = Rehearsal()
    struck = r.now()
    r.guest.freeze()
    r.watch(8)
    known = replace(r.evidence(struck), parked=ParkedClaim("vCPU 0 PAUSED"))
    began = r.guest.now
    r.watch(6)
    r.guest.thaw()
    r.watch(8)
    known = replace(r.evidence(struck), parked=known.parked, end=known.end)
    found = judge_resumed(known, Window(began, r.guest.now), "parked")
    assert (type(found), found.check) == (Lost, Check.SILENCE), found.reason


def restored(do: Wrong) -> tuple[Evidence, Window]:
    """Pause a guest, strike its host, and have its VMM restore it from its memory."""
    r = Rehearsal()
    old = r.guest.snapshot()
    r.watch(0.5)
    paused = r.guest.now
    r.guest.freeze()
    r.watch(2)
    at = r.guest.now
    r.watch(4)
    end = r.guest.now
    began = r.guest.now
    r.guest.thaw()
    do(r, old)
    r.watch(8.3)
    digests = MemoryWitness(before="aa", before_at=paused, after="aa", after_at=end)
    known = replace(r.evidence(Happened("kexec", at, at + 3)), end=end)
    return replace(known, scope=Scope.MEMORY, memory=digests), Window(began, r.guest.now)


def test_a_restored_guest_survives_in_memory_and_goes_on() -> None:
    known, stretch = restored(nothing)
    assert isinstance(judge(known), Survived)
    assert isinstance(judge_resumed(known, stretch, "preserved"), Survived)


@pytest.mark.parametrize("do", [rewound, rebooted, broken, stripped_of_its_registers])
def test_a_restored_guest_that_is_another_is_lost_in_memory_and_in_going_on(do: Wrong) -> None:
    known, stretch = restored(do)
    assert isinstance(judge(known), Lost)
    assert isinstance(judge_resumed(known, stretch, "preserved"), Lost)


def test_a_restored_guest_whose_clock_was_set_back_is_lost() -> None:
    known, stretch = restored(set_back)
    found = judge_resumed(known, stretch, "preserved")
    assert (type(found), found.check) == (Lost, Check.CLOCK_STEP), found.reason
