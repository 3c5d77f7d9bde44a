# SPDX-License-Identifier: Apache-2.0
"""The checks of who the guest is and whether it was harmed, each at its bound."""

from __future__ import annotations

import pytest

from lab.observe.trail import Anomaly, Kind, Own, Trail
from lab.observe.window import Window
from lab.verdict.identity_checks import baseline, harmed, identity, overrun
from lab.verdict.verdict import Check
from tests.support.made_trails import every, evidence_of, steady, trail_of
from tests.support.told import a_loss, no_proof

WHO = (Kind.CANARY, Kind.RESTART, Kind.REWIND, Kind.CHAIN)
HARM = (Kind.CLOCK, Kind.FAULTS, Kind.RAM)


def noted(kind: Kind, at: float, what: str = "odd") -> Trail:
    trail = steady()
    trail.anomalies.append(Anomaly(kind, at, what))
    return trail


@pytest.mark.parametrize(("beats", "enough"), [([], False), ([1.0], False), ([1.0, 2.0], True)])
def test_a_baseline_is_two_beats(beats: list[float], *, enough: bool) -> None:
    trail = trail_of([*beats, *every(0.1, 9.5, 30.0)], every(0.5, 0.5, 30.0))
    said = no_proof("vCPU 0 did not beat before the disruption", Check.BASELINE)
    assert baseline(evidence_of(trail)) == (None if enough else said)


def test_each_vcpu_has_a_baseline_and_knows_how_many_there_are() -> None:
    dead = trail_of(every(0.1, 9.5, 30.0), every(0.5, 0.0, 30.0), vcpu=1, nvcpus=2)
    found = baseline(evidence_of(steady(nvcpus=2), dead))
    assert found == no_proof("vCPU 1 did not beat before the disruption", Check.BASELINE)
    assert baseline(evidence_of(steady(0, nvcpus=2), steady(1, nvcpus=2))) is None
    found = baseline(evidence_of(steady(0, nvcpus=2), steady(1, nvcpus=4)))
    assert found == no_proof("the guest says that it has 4 vCPUs, not 2", Check.BASELINE)


@pytest.mark.parametrize("kind", WHO)
def test_another_guest_after_the_strike_is_a_loss(kind: Kind) -> None:
    assert identity(evidence_of(noted(kind, 10.0))) == a_loss("vCPU 0: odd", Check(kind.value))
    assert harmed(evidence_of(noted(kind, 10.0))) is None


@pytest.mark.parametrize("kind", HARM)
def test_harm_after_the_strike_is_a_loss(kind: Kind) -> None:
    assert harmed(evidence_of(noted(kind, 10.0))) == a_loss("vCPU 0: odd", Check(kind.value))
    assert identity(evidence_of(noted(kind, 10.0))) is None


@pytest.mark.parametrize("kind", [*WHO, *HARM])
def test_what_was_odd_before_the_strike_proves_nothing(kind: Kind) -> None:
    e = evidence_of(noted(kind, 9.9))
    found = identity(e) or harmed(e)
    assert found == no_proof("before the disruption, vCPU 0: odd", Check(kind.value))


def test_nothing_is_lost_by_a_strike_that_finds_it_dead() -> None:
    trail = steady(until=5.0)
    trail.anomalies.append(Anomaly(Kind.CHAIN, 10.0, "odd"))
    said = no_proof("vCPU 0 was not seen alive when it was struck", Check.EARLY)
    assert identity(evidence_of(trail)) == said


def test_the_first_oddity_of_all_vcpus_counts() -> None:
    first, second = steady(0, nvcpus=2), steady(1, nvcpus=2)
    first.anomalies.append(Anomaly(Kind.CHAIN, 14.0, "late"))
    second.anomalies.append(Anomaly(Kind.REWIND, 12.0, "soon"))
    found = identity(evidence_of(first, second))
    assert found == a_loss("vCPU 1: soon", Check.REWIND)


def test_vcpus_of_two_boots_are_no_guest() -> None:
    first, second = steady(0, nvcpus=2), steady(1, nvcpus=2)
    assert identity(evidence_of(first, second)) is None
    second.boot_id = bytes(16)
    said = no_proof("the vCPUs' beacons are of different boots", Check.IDENTITY)
    assert identity(evidence_of(first, second)) == said


@pytest.mark.parametrize(("faults", "told"), [(0, False), (1, True)])
def test_faults_counted_before_it_was_first_seen_prove_nothing(faults: int, *, told: bool) -> None:
    trail = steady()
    trail.owns[:] = [Own(0.0, 0, 0, faults), Own(1.0, 0, 0, 7)]
    said = no_proof("vCPU 0 had counted 1 faults when it was first seen", Check.FAULTS)
    assert harmed(evidence_of(trail)) == (said if told else None)


def test_a_vcpu_that_said_nothing_of_itself_counted_no_faults() -> None:
    trail = steady()
    trail.owns.clear()
    assert harmed(evidence_of(trail)) is None


@pytest.mark.parametrize(
    ("at", "told"), [(1.9, False), (2.0, True), (12.3, True), (30.0, True), (30.1, False)]
)
def test_an_overrun_counts_within_the_watch(at: float, *, told: bool) -> None:
    said = no_proof("looks were too rare for vCPU 0: many", Check.OVERRUN)
    e = evidence_of(noted(Kind.OVERRUN, at, "many"), baseline=Window(2.0, 9.0))
    assert overrun(e) == (said if told else None)


def test_an_overrun_before_the_watch_hides_none_in_it() -> None:
    trail = noted(Kind.OVERRUN, 1.0, "soon")
    trail.anomalies += [Anomaly(Kind.CHAIN, 12.0, "odd"), Anomaly(Kind.OVERRUN, 13.0, "many")]
    found = overrun(evidence_of(trail, baseline=Window(2.0, 9.0)))
    assert found == no_proof("looks were too rare for vCPU 0: many", Check.OVERRUN)


@pytest.mark.parametrize(
    ("void", "check"),
    [
        (Window(12.1, 12.2), Check.JITTER),
        (Window(11.0, 12.1), Check.JITTER),  # the look before began at 12
        (Window(12.3, 12.9), Check.OVERRUN),
        (Window(11.5, 12.0), Check.OVERRUN),
    ],
)
def test_an_overrun_is_l0s_if_it_stood_still_since_the_look_before(
    void: Window, check: Check
) -> None:
    found = overrun(evidence_of(noted(Kind.OVERRUN, 12.3), voids=(void,)))
    assert found is not None
    assert found.check is check


def test_an_overrun_by_the_second_look_counts_from_the_first() -> None:
    trail = trail_of([], [2.0, 4.0])
    trail.anomalies.append(Anomaly(Kind.OVERRUN, 4.0, "many"))
    found = overrun(evidence_of(trail, voids=(Window(1.0, 1.5),)))
    assert found is not None
    assert found.check is Check.OVERRUN


@pytest.mark.parametrize(
    ("void", "check"), [(Window(2.5, 3.0), Check.JITTER), (Window(1.0, 2.0), Check.OVERRUN)]
)
def test_an_overrun_by_the_first_look_is_l0s_if_it_stood_still_in_the_watch(
    void: Window, check: Check
) -> None:
    trail = trail_of([], [4.0])
    trail.anomalies.append(Anomaly(Kind.OVERRUN, 4.0, "many"))
    found = overrun(evidence_of(trail, voids=(void,), baseline=Window(2.0, 9.0)))
    assert found is not None
    assert found.check is check
