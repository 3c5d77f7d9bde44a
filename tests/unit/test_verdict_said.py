# SPDX-License-Identifier: Apache-2.0
"""What the judge says in the end: its order, its sentence, its figures, on trails of instants."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lab.observe.identity import DidNot, Happened, Undisturbed
from lab.observe.search import Search, Sighting
from lab.observe.trail import Anomaly, Blind, Kind, Own, Trail
from lab.observe.window import Window
from lab.verdict.evidence import Evidence, Limits, MemoryWitness, ParkedClaim, Stop, Tally
from lab.verdict.figures import figures_of
from lab.verdict.judge import judge, judge_resumed, judge_through
from lab.verdict.unseen import rewind_bound
from lab.verdict.verdict import (
    Check,
    Figures,
    Lost,
    Parked,
    Scope,
    Survived,
    Unproven,
    VcpuFigures,
)
from tests.support.made_trails import every, evidence_of, near, steady, trail_of
from tests.support.told import a_loss, numbers

LOOKS = every(0.1, 0.0, 30.0)
SHORT = Limits(patience=5.0)
HERE = Search((Sighting(0, 0x1000, 9, beats=True),), (0x1000,))
DIGEST = MemoryWitness(before="a", before_at=9.5, after="a", after_at=20.0)


def living(**more: Any) -> Evidence:
    return evidence_of(steady(), **({"search": HERE} | more))


def parked_at(last: float = 10.0, **more: Any) -> Evidence:
    trail = trail_of(every(0.1, 0.0, last), LOOKS)
    return evidence_of(trail, parked=ParkedClaim("halted"), **({"search": HERE} | more))


def dead(**more: Any) -> Evidence:
    trail = trail_of(every(0.1, 0.0, 10.0), LOOKS)
    return evidence_of(trail, search=Search((), (0x1000,)), **more)


def test_a_survival_is_told_with_what_was_seen() -> None:
    looks = [*every(0.5, 0.0, 12.0), *every(0.5, 13.0, 30.0)]
    beats = [*every(0.1, 0.1, 12.0), *every(0.1, 12.45, 30.05)]
    found = judge(evidence_of(trail_of(beats, looks), search=HERE))
    assert "vmm-kill" in found.reason
    assert "None" not in found.reason
    assert numbers(found.reason) == numbers(
        "the same guest beat on to the end on 1 vCPU (vmm-kill; 296 beats, never silent for more "
        "than 1.500 s; a rewind of more than 4 beats or 400 ms would have been seen; it "
        "verifies none of its RAM; no second copy of it beats)"
    )


@pytest.mark.parametrize("search", [None, replace(HERE, whole=False)])
def test_a_survival_says_that_nobody_looked_for_a_copy(search: Search | None) -> None:
    found = judge(living(search=search, disruption=Undisturbed()))
    assert isinstance(found, Survived)
    assert found.reason != judge(living(disruption=Undisturbed())).reason
    assert "(;" not in found.reason


@pytest.mark.parametrize("slower", [0, 1])
def test_the_largest_figures_of_all_vcpus_are_told(slower: int) -> None:
    paused = [*every(0.1, 0.05, 12.0), *every(0.1, 12.9, 30.0)]
    slow = trail_of(
        paused, [*every(0.1, 0.0, 12.0), *every(0.1, 13.0, 30.0)], vcpu=slower, nvcpus=2
    )
    found = judge(evidence_of(slow, steady(1 - slower, nvcpus=2)))
    assert numbers(found.reason) == ["2", str(120 + 172 + 300), "1.100", "8", "800"]


@pytest.mark.parametrize(
    ("evidence", "kind", "check", "scope"),
    [
        (living(), Survived, Check.ALL, Scope.RUNNING),
        (living(scope=Scope.MEMORY, memory=DIGEST), Unproven, Check.MEMORY, Scope.MEMORY),
        (parked_at(), Parked, Check.PARKED, Scope.RUNNING),
        (parked_at(9.4, scope=Scope.MEMORY, memory=DIGEST), Survived, Check.MEMORY, Scope.MEMORY),
        (dead(), Lost, Check.SILENCE, Scope.RUNNING),
        (dead(scope=Scope.MEMORY), Unproven, Check.MEMORY, Scope.MEMORY),
        (living(disruption=DidNot("no")), Unproven, Check.DISRUPTION, Scope.RUNNING),
        (living(disruption=None, scope=Scope.MEMORY), Unproven, Check.DISRUPTION, Scope.MEMORY),
        (living(outside_eye=False), Unproven, Check.EYE, Scope.RUNNING),
        (living(tallies=(Tally("kexecs", 2, 1),)), Unproven, Check.TALLY, Scope.RUNNING),
    ],
)
def test_a_verdict_has_its_kind_check_scope_and_figures(
    evidence: Evidence, kind: type, check: Check, scope: Scope
) -> None:
    found = judge(evidence)
    assert (type(found), found.check, found.scope) == (kind, check, scope)
    assert found.figures == figures_of(evidence)


def test_evidence_that_is_none_has_no_figures() -> None:
    found = judge(living(expected_vcpus=2))
    assert (found.check, found.figures) == (Check.EVIDENCE, Figures())


def test_a_parked_guest_is_told_with_why() -> None:
    assert judge(parked_at()).reason.endswith(": halted")


def memory_only(trail: Trail | None = None, **more: Any) -> Evidence:
    still = trail or trail_of(every(0.1, 0.0, 9.4), LOOKS)
    return evidence_of(still, scope=Scope.MEMORY, memory=DIGEST, **more)


def test_memory_alone_is_told_as_that() -> None:
    found = judge(memory_only())
    assert isinstance(found, Survived)
    assert numbers(found.reason) == []


def test_memory_of_a_guest_without_vcpus_needs_no_baseline() -> None:
    nobody: dict[str, Any] = {"scope": Scope.MEMORY, "memory": DIGEST}
    assert isinstance(judge(evidence_of(**nobody)), Survived)
    never = trail_of([], LOOKS)
    assert judge(evidence_of(never, **nobody)).check is Check.BASELINE


def odd(kind: Kind) -> Trail:
    trail = trail_of(every(0.1, 0.0, 9.4), LOOKS)
    trail.anomalies.append(Anomaly(kind, 12.0, "odd"))
    return trail


@pytest.mark.parametrize(
    ("evidence", "check"),
    [
        (memory_only(odd(Kind.CHAIN)), Check.CHAIN),
        (memory_only(odd(Kind.CLOCK)), Check.CLOCK),
        (memory_only(trail_of(every(0.1, 0.0, 9.4), every(0.1, 0.0, 9.5))), Check.PATH),
        (memory_only(search=replace(HERE, watched=(0x2000,))), Check.SPLIT_BRAIN),
        (memory_only(outside_eye=False), Check.EYE),
        (memory_only(tallies=(Tally("kexecs", 2, 1),)), Check.TALLY),
    ],
)
def test_memory_is_asked_for_each_of_its_checks(evidence: Evidence, check: Check) -> None:
    assert judge(evidence).check is check


def shown(*trails: Trail, **more: Any) -> Evidence:
    return evidence_of(*trails, **({"search": HERE} | more))


def noted(kind: Kind) -> Trail:
    trail = steady()
    trail.anomalies.append(Anomaly(kind, 12.0, "odd"))
    return trail


def miscounting() -> Trail:
    trail = steady()
    trail.owns[:] = [Own(0.0, 1, 0, 0)]
    return trail


ALL = every(0.1, 0.0, 30.0)
TWICE = Search(tuple(Sighting(0, at, 9, beats=True) for at in (0x1000, 0x2000)), (0x1000,))


@pytest.mark.parametrize(
    ("evidence", "check"),
    [
        (shown(trail_of(every(0.1, 9.5, 30.0), LOOKS)), Check.BASELINE),
        (shown(noted(Kind.CHAIN)), Check.CHAIN),
        (shown(noted(Kind.CLOCK)), Check.CLOCK),
        (shown(steady(), parked=ParkedClaim("halted")), Check.PARKED),
        (dead(), Check.SILENCE),
        (shown(trail_of(ALL, every(0.1, 0.0, 28.0))), Check.PATH),
        (shown(steady(), search=TWICE), Check.SPLIT_BRAIN),
        (shown(noted(Kind.OVERRUN)), Check.OVERRUN),
        (
            shown(
                trail_of(
                    [*every(0.1, 0.0, 12.0), *every(0.1, 17.2, 30.0)],
                    [*every(0.1, 0.0, 16.9), *every(0.1, 17.3, 30.0)],
                )
            ),
            Check.GUEST_SILENCE,
        ),
        (
            shown(trail_of(ALL, LOOKS, stamps=[100 + at + (at > 12.0) for at in ALL])),
            Check.CLOCK_STEP,
        ),
        (shown(trail_of(every(0.1, 0.0, 28.5), LOOKS)), Check.END),
        (
            shown(
                trail_of(
                    [*every(0.1, 0.0, 12.0), *every(0.1, 14.0, 30.0)],
                    [*every(0.1, 0.0, 12.0), *every(0.1, 15.0, 30.0)],
                )
            ),
            Check.REWIND_BOUND,
        ),
        (shown(miscounting()), Check.OWN_COUNT),
        (shown(steady(), memory=replace(DIGEST, after="b")), Check.MEMORY),
        (shown(steady(), outside_eye=False), Check.EYE),
        (shown(steady(), tallies=(Tally("kexecs", 2, 1),)), Check.TALLY),
    ],
    ids=lambda value: value.value if isinstance(value, Check) else "",
)
def test_each_check_is_asked(evidence: Evidence, check: Check) -> None:
    assert judge(evidence).check is check


def late(e: Evidence) -> Evidence:
    """Return this evidence with L0 having stood still for long."""
    return replace(e, voids=(Window(10.0, 30.0),))


def test_a_loss_that_is_proven_is_not_lost_in_l0s_standing_still() -> None:
    e = late(dead())
    assert judge(e).check is Check.JITTER
    e.trails[0].anomalies.append(Anomaly(Kind.FAULTS, 12.0, "odd"))
    assert judge(e).check is Check.FAULTS
    behind = late(dead(memory=replace(DIGEST, after="b")))
    assert judge(behind) == a_loss("its memory changed: a became b", Check.MEMORY)


def test_doubt_after_l0_stood_still_is_told_as_l0s() -> None:
    e = late(dead(outside_eye=False))
    assert judge(e).check is Check.JITTER
    twice = judge(late(dead(limits=replace(dead().limits, rewind=0.5))))
    assert numbers(twice.reason)[:2] == ["0", "20.0"]  # the first of two


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


def test_figures_are_those_of_the_watch() -> None:
    trail = trail_of([*every(0.1, 0.0, 12.0), *every(0.1, 13.0, 29.9)], LOOKS)
    trail.irqs = 17
    trail.owns[:] = [Own(1.0, 5, 0, 1), Own(29.0, 900_000_000, 0, 2), Own(31.0, 10**10, 0, 9)]
    trail.blinds += [Blind(at, at, "no") for at in (3.0, 30.0, 30.1)]
    e = evidence_of(
        trail, baseline=Window(1.0, 9.0), voids=(Window(0.5, 1.5), Window(0.0, 1.0), Window(4, 5))
    )
    found = figures_of(e)
    vcpu, bound = found.vcpus[0], rewind_bound(e, trail)
    assert bound.seconds > 0
    assert found == Figures(
        watched_s=29.0, void_windows=2, timing_void=True, disruption="vmm-kill", beats_on=True,
        vcpus=(vcpu,),
    )  # fmt: skip
    assert vcpu == VcpuFigures(
        vcpu=0, beats=280, looks=291, silence_least_s=near(0.9),
        silence_most_s=near(1.1), silence_began_s=near(2.0),
        guest_gap_s=near(1.0), guest_gap_at_s=near(112.0), own_max_gap_s=0.9,
        drift_s=vcpu.drift_s, faults=2, irqs=17, blind=2, clock_rate=vcpu.clock_rate,
        clock_step_s=vcpu.clock_step_s, beat_rate=vcpu.beat_rate,
        rewind_s=bound.seconds, rewind_beats=bound.beats, ram_mib=None,
    )  # fmt: skip
    assert (vcpu.drift_s, vcpu.clock_rate) == (near(0.0), near(1.0))


def test_figures_have_the_step_of_a_clock_and_what_came_by_the_end() -> None:
    beats = every(0.1, 0.0, 30.0)
    stamps = [100.0 + at + (0.5 if at > 12.0 else 0.0) for at in beats]
    trail = trail_of(beats, LOOKS, stamps=stamps)
    trail.owns.append(Own(30.0, 10**9, 0, 3))
    vcpu = figures_of(evidence_of(trail)).vcpus[0]
    assert vcpu.clock_step_s == near(0.5)
    assert (vcpu.own_max_gap_s, vcpu.faults) == (1.0, 3)


def test_figures_of_a_control_that_shows_nothing() -> None:
    trail = trail_of([], [])
    trail.owns.clear()
    found = figures_of(evidence_of(trail, disruption=Undisturbed()))
    vcpu = found.vcpus[0]
    assert (found.disruption, found.timing_void, found.void_windows) == ("", False, 0)
    assert (vcpu.silence_began_s, vcpu.own_max_gap_s, vcpu.faults, vcpu.looks) == (None, 0, 0, 0)
    assert (vcpu.clock_step_s, vcpu.beats, vcpu.drift_s) == (0.0, 0, None)


def test_figures_count_the_looks_of_the_watch_alone() -> None:
    trail = trail_of([0.0], [0.5, 1.5, 2.5, 3.5], takes=0.5)
    for began, end, looks in (
        (1.5, 3.0, 2),
        (1.6, 3.0, 1),
        (1.5, 2.9, 1),
        (3.9, 4.0, 0),
        (3.6, 3.9, 0),
    ):
        e = evidence_of(trail, baseline=Window(began, began + 0.1), end=end)
        assert figures_of(e).vcpus[0].looks == looks, (began, end)
    late_on = evidence_of(trail, baseline=Window(20.0, 21.0))
    assert figures_of(late_on).vcpus[0].looks == 0


@pytest.mark.parametrize(("lasts", "on"), [(30.0, True), (29.1, True), (28.5, False)])
def test_a_guest_beats_on_if_each_vcpu_does(lasts: float, *, on: bool) -> None:
    second = trail_of(every(0.1, 0.0, lasts), LOOKS, vcpu=1)
    assert figures_of(evidence_of(steady(), second)).beats_on is on


def test_a_guest_without_vcpus_does_not_beat_on() -> None:
    found = figures_of(evidence_of(disruption=Happened("kexec", 10.0, 10.0)))
    assert (found.beats_on, found.vcpus) == (False, ())
