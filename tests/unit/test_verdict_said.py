# SPDX-License-Identifier: Apache-2.0
"""What the judge says in the end: its order, its sentence, its figures, on trails of instants."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lab.observe.identity import DidNot, Undisturbed
from lab.observe.search import Search, Sighting
from lab.observe.trail import Anomaly, Kind, Own, Trail
from lab.observe.window import Window
from lab.verdict.evidence import Evidence, MemoryWitness, ParkedClaim, Tally
from lab.verdict.figures import figures_of
from lab.verdict.judge import judge
from lab.verdict.verdict import (
    Check,
    Figures,
    Lost,
    Parked,
    Scope,
    Survived,
    Unproven,
)
from tests.support.made_trails import every, evidence_of, steady, trail_of
from tests.support.told import a_loss, numbers

LOOKS = every(0.1, 0.0, 30.0)
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
    found = judge(evidence)
    assert found.check is check
    assert isinstance(found, Lost | Unproven)


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
