# SPDX-License-Identifier: Apache-2.0
"""The checks of the way to the guest and of its memory, each at its bound."""

from __future__ import annotations

from typing import Any

import pytest

from lab.observe.identity import Happened, Undisturbed
from lab.observe.search import Search, Sighting
from lab.observe.trail import Blind, Trail
from lab.verdict.evidence import HostDeath, MemoryWitness, Tally
from lab.verdict.memory_checks import memory, seen_after
from lab.verdict.path_checks import one_copy, outside_eye, path, tallies
from lab.verdict.verdict import Check, Lost, Scope
from tests.support.made_trails import every, evidence_of, steady, trail_of
from tests.support.told import a_loss, no_proof, numbers

BEATS = every(0.1, 0.0, 30.0)
HERE, THERE = 0x1000, 0x2000


def out_of_sight(from_s: float = 28.0, *, beats: list[float] | None = None) -> Trail:
    return trail_of(BEATS if beats is None else beats, every(0.5, 0.0, from_s))


def found(*beating: int, watched: int = HERE, stale: tuple[int, ...] = ()) -> Search:
    sightings = [Sighting(0, phys, 9, beats=True) for phys in beating]
    sightings += [Sighting(0, phys, 9, beats=False) for phys in stale]
    return Search(tuple(sightings), (watched,))


@pytest.mark.parametrize(("last", "lost"), [(29.0, False), (28.5, True), (30.0, False)])
def test_a_path_is_clear_if_a_look_near_the_end_was(last: float, *, lost: bool) -> None:
    said = no_proof("the path to vCPU 0 was lost: the eye was shut", Check.PATH)
    assert path(evidence_of(out_of_sight(last))) == (said if lost else None)


def test_a_look_after_the_watch_is_no_clear_path() -> None:
    trail = trail_of(BEATS, [*every(0.5, 0.0, 20.0), 29.5], takes=0.6)
    assert path(evidence_of(trail)) is not None
    trail = trail_of(BEATS, [*every(0.5, 0.0, 20.0), 29.4], takes=0.6)
    assert path(evidence_of(trail)) is None


def test_a_path_that_never_was_clear_is_lost() -> None:
    assert path(evidence_of(trail_of([], []))) == no_proof(
        "the path to vCPU 0 was lost: the eye was shut", Check.PATH
    )


def test_a_lost_path_is_told_with_its_last_reason() -> None:
    trail = out_of_sight()
    trail.blinds += [
        Blind(2.0, 2.5, "reading 5"),
        Blind(3.0, 4.0, "reading 6"),
        Blind(29.0, None, "reading 7"),
    ]
    assert path(evidence_of(trail)) == no_proof(
        "the path to vCPU 0 was lost: reading 7", Check.PATH
    )


def test_each_vcpus_path_is_asked_for() -> None:
    trail = out_of_sight()
    trail.vcpu = 1
    said = path(evidence_of(steady(), trail))
    assert said == no_proof("the path to vCPU 1 was lost: the eye was shut", Check.PATH)


def test_what_is_nowhere_is_lost_if_it_lived() -> None:
    what = "vCPU 0: the eye was shut, and its canary is nowhere in the memory of its host"
    assert path(evidence_of(out_of_sight(), nowhere=True)) == a_loss(what, Check.NOWHERE)
    dead = out_of_sight(beats=every(0.1, 0.0, 5.0))
    said = path(evidence_of(dead, nowhere=True))
    assert said == no_proof("vCPU 0 was not seen alive when it was struck", Check.EARLY)


def test_what_beats_elsewhere_is_told_where() -> None:
    what = "vCPU 0 beats at 0x2000, and not where it was watched: the eye was shut"
    said = path(evidence_of(out_of_sight(), search=found(THERE)))
    assert said == no_proof(what, Check.ELSEWHERE)
    said = path(evidence_of(out_of_sight(), search=found(stale=(THERE,))))
    assert said is not None
    assert said.check is Check.PATH


@pytest.mark.parametrize(("at", "lost"), [(9.9, False), (10.0, True), (30.0, True), (30.1, False)])
def test_a_host_that_died_in_the_watch_took_its_guest_along(at: float, *, lost: bool) -> None:
    trail = out_of_sight(at if at < 28 else 28.0)
    trail = out_of_sight(beats=[b for b in BEATS if b <= at])
    said = path(evidence_of(trail, host_death=HostDeath(at, "it crashed")))
    assert isinstance(said, Lost) is lost


def test_a_guest_that_lived_when_its_host_died_is_lost_by_that() -> None:
    trail = out_of_sight(beats=every(0.1, 0.0, 20.0))
    e = evidence_of(trail, host_death=HostDeath(20.0, "it crashed"))
    assert path(e) == a_loss("vCPU 0 was alive when its host died: it crashed", Check.HOST)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, a_loss("vCPU 0: its host died: it crashed", Check.HOST)),
        (
            {"disruption": Undisturbed()},
            no_proof("vCPU 0 was not seen alive when its host died", Check.EARLY),
        ),
        (
            {"disruption": Happened("kexec", 17.0, 17.0)},
            no_proof("vCPU 0 was not seen alive when it was struck", Check.EARLY),
        ),
    ],
)
def test_a_guest_that_was_silent_when_its_host_died(more: dict[str, Any], said: object) -> None:
    trail = out_of_sight(beats=every(0.1, 0.0, 15.0))
    assert path(evidence_of(trail, host_death=HostDeath(20.0, "it crashed"), **more)) == said


def test_one_copy_may_beat_where_it_is_watched() -> None:
    assert one_copy(evidence_of(steady())) is None
    assert one_copy(evidence_of(steady(), search=found(HERE, stale=(THERE,)))) is None


def test_all_pages_elsewhere_are_told() -> None:
    twice = found(THERE, 0x3000)
    said = path(evidence_of(out_of_sight(), search=twice))
    assert said is not None
    assert numbers(said.reason) == ["0", "0x2000", "0x3000"]


def test_two_copies_are_a_split_brain() -> None:
    what = "split brain: vCPU 0 beats in two places, 0x1000 and 0x2000"
    said = one_copy(evidence_of(steady(), search=found(HERE, THERE)))
    assert said == no_proof(what, Check.SPLIT_BRAIN)


def test_a_copy_that_beats_elsewhere_is_one_too_many() -> None:
    what = "vCPU 0 beats at 0x2000 too, which is not the page that was watched"
    said = one_copy(evidence_of(steady(), search=found(THERE)))
    assert said == no_proof(f"split brain: {what}", Check.SPLIT_BRAIN)


def test_word_of_the_host_is_no_witness() -> None:
    said = no_proof("L1-witnessed: nobody outside of the host saw it survive", Check.EYE)
    assert outside_eye(evidence_of(steady(), outside_eye=False)) == said
    assert outside_eye(evidence_of(steady())) is None


@pytest.mark.parametrize(("counted", "told"), [(2, False), (1, True), (3, True)])
def test_what_was_wanted_so_often_was_witnessed_as_often(counted: int, *, told: bool) -> None:
    kills, kexecs = Tally("kills", 1, 1), Tally("kexecs", 2, counted)
    said = no_proof(f"2 kexecs were wanted, and {counted} were witnessed", Check.TALLY)
    assert tallies(evidence_of(steady(), tallies=(kills, kexecs))) == (said if told else None)


def digested(
    before_at: float = 9.0, after_at: float = 20.0, *, before: str = "a", after: str = "a"
) -> MemoryWitness:
    return MemoryWitness(before=before, before_at=before_at, after=after, after_at=after_at)


NOT_AROUND = no_proof("its memory was not digested before and after", Check.MEMORY)


def test_memory_is_asked_for_by_its_scope_only() -> None:
    assert memory(evidence_of(steady())) is None
    said = no_proof("its memory was not digested", Check.MEMORY)
    assert memory(evidence_of(steady(), scope=Scope.MEMORY)) == said


@pytest.mark.parametrize("missing", [{"before": ""}, {"after": ""}])
def test_both_digests_are_needed(missing: dict[str, str]) -> None:
    said = no_proof("one of the two digests of its memory is missing", Check.MEMORY)
    assert memory(evidence_of(steady(), memory=digested(**missing))) == said  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("before_at", "after_at", "around"),
    [
        (10.0, 12.0, True),
        (9.0, 13.0, True),
        (10.1, 12.0, False),
        (10.0, 11.9, False),
        (12.0, 10.0, False),
    ],
)
def test_digests_are_taken_around_the_disruption(
    before_at: float, after_at: float, *, around: bool
) -> None:
    e = evidence_of(
        steady(), memory=digested(before_at, after_at), disruption=Happened("kexec", 10.0, 12.0)
    )
    assert memory(e) == (None if around else NOT_AROUND)


@pytest.mark.parametrize(("before_at", "after_at", "around"), [(3.0, 3.1, True), (3.0, 3.0, False)])
def test_digests_of_a_control_are_taken_one_after_the_other(
    before_at: float, after_at: float, *, around: bool
) -> None:
    e = evidence_of(steady(), memory=digested(before_at, after_at), disruption=Undisturbed())
    assert memory(e) == (None if around else NOT_AROUND)


def test_changed_memory_is_a_loss() -> None:
    said = a_loss("its memory changed: a became b", Check.MEMORY)
    assert memory(evidence_of(steady(), memory=digested(after="b"))) == said


@pytest.mark.parametrize(("last", "ran"), [(8.9, False), (9.6, True)])
def test_digests_say_nothing_of_a_guest_that_ran_on(last: float, *, ran: bool) -> None:
    trail = trail_of(every(0.1, 0.0, last), every(0.5, 0.0, 30.0))
    e = evidence_of(trail, memory=digested(9.0), scope=Scope.MEMORY)
    said = no_proof("vCPU 0 beat on after its memory was digested", Check.MEMORY)
    assert memory(e) == (said if ran else None)
    assert memory(evidence_of(trail, memory=digested(9.0))) is None


def test_a_beat_that_may_have_come_before_the_digest_is_no_run() -> None:
    trail = trail_of(every(0.1, 0.0, 9.0), every(0.5, 0.0, 30.0))
    trail.after[-1] = 9.0
    assert memory(evidence_of(trail, memory=digested(9.0), scope=Scope.MEMORY)) is None


def test_what_beats_after_the_watch_did_not_run_in_it() -> None:
    trail = trail_of([*every(0.1, 0.0, 8.9), 25.2], every(0.5, 0.0, 30.0))
    e = evidence_of(trail, memory=digested(9.0), scope=Scope.MEMORY, end=25.0)
    assert memory(e) is None
    assert (
        memory(evidence_of(trail, memory=digested(9.0), scope=Scope.MEMORY, end=25.5)) is not None
    )


@pytest.mark.parametrize(
    ("looks", "seen"),
    [
        ([9.0, 12.0], True),
        ([9.0, 11.9], False),
        ([9.0, 12.0, 31.0], True),
        ([9.0, 29.8], False),
        ([9.0, 29.75], True),
        ([], False),
    ],
)
def test_the_eye_saw_the_memory_after_the_disruption(looks: list[float], *, seen: bool) -> None:
    trail = trail_of(BEATS, looks, takes=0.25)
    e = evidence_of(trail, disruption=Happened("kexec", 10.0, 12.0))
    what = "L1-witnessed: nobody outside saw the memory of vCPU 0 afterwards: the eye was shut"
    assert seen_after(e) == (None if seen else no_proof(what, Check.PATH))


def test_the_eye_saw_the_memory_of_a_control_after_its_baseline() -> None:
    control = {"disruption": Undisturbed()}
    assert seen_after(evidence_of(trail_of(BEATS, [9.0]), **control)) is None
    trail = trail_of(BEATS, [8.9])
    trail.blinds += [
        Blind(0.5, 0.6, "reading 5"),
        Blind(1.0, 2.0, "reading 6"),
        Blind(9.0, None, "reading 7"),
    ]
    what = "L1-witnessed: nobody outside saw the memory of vCPU 0 afterwards: reading 7"
    assert seen_after(evidence_of(trail, **control)) == no_proof(what, Check.PATH)
