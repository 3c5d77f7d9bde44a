# SPDX-License-Identifier: Apache-2.0
"""What may be judged at all, to the very bound: sane times, two witnesses, a long enough watch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lab.observe.identity import DidNot, Happened, Undisturbed
from lab.observe.window import Window
from lab.verdict.admissible import admissible
from lab.verdict.evidence import Interference, Limits, Stop
from lab.verdict.verdict import Check, Scope
from tests.support.made_trails import STRUCK, evidence_of, steady
from tests.support.told import Said, no_proof

NAN, INF = float("nan"), float("inf")
LIMITS = Limits(patience=5.0)


def refused(**known: Any) -> tuple[Check, str] | None:
    found = admissible(evidence_of(steady(), **known))
    return None if found is None else (found.check, Said(found.reason))


def test_good_evidence_is_admitted() -> None:
    assert refused() is None


@pytest.mark.parametrize("bad", [NAN, INF])
@pytest.mark.parametrize(
    "limit",
    ["patience", "closing", "live", "rewind", "clock_step", "clock_rate", "beat_rate"],
)
def test_a_limit_that_is_no_number_is_refused(limit: str, bad: float) -> None:
    wanted = (Check.EVIDENCE, "a time in the evidence is not a number")
    assert refused(limits=replace(LIMITS, **{limit: bad})) == wanted


@pytest.mark.parametrize(
    "known",
    [
        {"baseline": Window(NAN, 9.0)},
        {"baseline": Window(0.0, NAN)},
        {"end": INF},
        {"disruption": Happened("kexec", NAN, 10.0)},
        {"disruption": Happened("kexec", 10.0, NAN)},
        {"handed": INF},
        {"adopted": NAN},
        {"interference": (Interference(12.0, "paused"), Interference(NAN, "paused"))},
    ],
)
def test_an_instant_that_is_no_number_is_refused(known: dict[str, Any]) -> None:
    assert refused(**known) == (Check.EVIDENCE, "a time in the evidence is not a number")


@pytest.mark.parametrize(
    ("limits", "sane"),
    [
        ({"closing": 5.0}, True),
        ({"closing": 5.1}, False),
        ({"closing": 0.0}, False),
        ({"closing": 0.001}, True),
        ({"live": 5.0}, True),
        ({"live": 5.1}, False),
        ({"live": 0.0}, False),
        ({"live": 0.001}, True),
    ],
)
def test_limits_are_above_zero_and_within_patience(limits: dict[str, float], *, sane: bool) -> None:
    wanted = (Check.EVIDENCE, "closing and live must be above 0 and within patience")
    assert refused(limits=replace(LIMITS, **limits)) == (None if sane else wanted)


@pytest.mark.parametrize("baseline", [Window(9.0, 9.0), Window(9.0, 8.0), Window(0.0, 31.0)])
def test_a_baseline_outside_the_watch_is_refused(baseline: Window) -> None:
    wanted = (Check.EVIDENCE, "the baseline is not within the watch")
    assert refused(baseline=baseline, disruption=Undisturbed()) == wanted


def test_a_baseline_may_be_all_of_the_watch() -> None:
    assert refused(baseline=Window(0.0, 30.0), disruption=Undisturbed()) is None


@pytest.mark.parametrize(("handed", "sane"), [(9.0, True), (8.9, False), (9.5, True)])
def test_a_guest_is_not_handed_over_in_its_baseline(handed: float, *, sane: bool) -> None:
    wanted = (Check.EVIDENCE, "the guest was handed over in its baseline")
    assert refused(handed=handed) == (None if sane else wanted)


@pytest.mark.parametrize(
    ("adopted", "sane"), [(8.9, False), (9.0, True), (16.0, True), (30.1, False)]
)
def test_a_guest_is_adopted_within_the_watch(adopted: float, *, sane: bool) -> None:
    wanted = (Check.EVIDENCE, "the guest was not adopted within the watch")
    assert refused(adopted=adopted) == (None if sane else wanted)


@pytest.mark.parametrize(
    ("stop", "sane"),
    [
        (Stop(9.0, 12.0, "parked"), True),
        (Stop(12.0, 12.0, "parked"), True),
        (Stop(8.9, 12.0, "parked"), False),
        (Stop(12.0, 11.0, "parked"), False),
        (Stop(12.0, 30.1, "parked"), False),
        (Stop(12.0, 13.0, ""), False),
        (Stop(NAN, 13.0, "parked"), False),
        (Stop(12.0, NAN, "parked"), False),
    ],
)
def test_a_stop_has_a_reason_and_is_in_the_watch(stop: Stop, *, sane: bool) -> None:
    wanted = (Check.EVIDENCE, "a stop has no reason, or is not within the watch")
    assert refused(stops=(Stop(9.0, 10.0, "moved"), stop)) == (None if sane else wanted)


def test_a_stop_to_the_end_is_no_bad_evidence_but_no_watch() -> None:
    found = refused(stops=(Stop(12.0, 30.0, "parked"),))
    assert found is not None
    assert found[0] is Check.WATCH


def test_each_expected_vcpu_is_watched_and_no_other() -> None:
    why = "2 vCPUs were expected, and those watched are [0]"
    assert refused(expected_vcpus=2) == (Check.EVIDENCE, why)
    swapped = {0: steady(1, nvcpus=2), 1: steady(0, nvcpus=2)}
    why = "2 vCPUs were expected, and those watched are [0, 1]"
    assert refused(expected_vcpus=2, trails=swapped) == (Check.EVIDENCE, why)


def test_a_guest_without_vcpus_is_judged_by_its_memory_only() -> None:
    nobody: dict[str, Any] = {"expected_vcpus": 0, "trails": {}}
    assert refused(**nobody) == (Check.EVIDENCE, "no vCPU was watched")
    assert refused(**nobody, scope=Scope.MEMORY) is None


@pytest.mark.parametrize(
    ("disruption", "why"),
    [
        (None, "the disruption has no witness"),
        (DidNot("it is there"), "the disruption did not happen: it is there"),
        (Happened("kexec", 8.9, 10.0), "kexec was not within the watch"),
        (Happened("kexec", 11.0, 10.0), "kexec was not within the watch"),
        (Happened("kexec", 11.0, 30.1), "kexec was not within the watch"),
    ],
)
def test_a_disruption_without_a_witness_is_refused(disruption: Any, why: str) -> None:
    assert refused(disruption=disruption) == (Check.DISRUPTION, why)


@pytest.mark.parametrize(("at", "told"), [(1.9, False), (2.0, True), (30.0, True), (30.1, False)])
def test_what_others_did_to_the_host_in_the_watch_is_told(at: float, *, told: bool) -> None:
    found = refused(baseline=Window(2.0, 9.0), interference=(Interference(at, "paused by virsh"),))
    why = f"not by the lab, since the watch began: paused by virsh ({at - 2.0:.1f} s)"
    assert found == ((Check.INTERFERENCE, why) if told else None)


def test_all_that_others_did_to_the_host_is_told() -> None:
    both = (Interference(3.0, "paused"), Interference(4.5, "resumed"))
    why = "not by the lab, since the watch began: paused (3.0 s), resumed (4.5 s)"
    assert refused(interference=both, disruption=None) == (Check.INTERFERENCE, why)


@pytest.mark.parametrize("scope", list(Scope))
def test_what_is_refused_is_of_the_scope_that_was_asked_for(scope: Scope) -> None:
    found = admissible(evidence_of(steady(), disruption=None, scope=scope))
    assert found == no_proof("the disruption has no witness", Check.DISRUPTION, scope)


@pytest.mark.parametrize(
    ("known", "long"),
    [
        ({"disruption": Happened("kexec", 9.0, 9.0), "end": 15.1}, True),
        ({"disruption": Happened("kexec", 9.0, 9.0), "end": 15.0}, False),
        ({"disruption": Happened("kexec", 9.0, 9.5), "end": 15.5}, False),
        ({"disruption": Happened("kexec", 9.0, 9.5), "end": 15.6}, True),
        ({"disruption": Undisturbed(), "end": 9.0}, True),
        ({"disruption": Undisturbed(), "baseline": Window(3.0, 9.0), "end": 9.0}, False),
        ({"stops": (Stop(10.0, 24.0, "parked"),)}, False),
        ({"stops": (Stop(10.0, 23.9, "parked"),)}, True),
        ({"stops": (Stop(10.0, 24.0, "parked"), Stop(10.0, 11.0, "parked"))}, False),
        ({"stops": (Stop(10.0, 24.0, "parked"),), "scope": Scope.MEMORY}, True),
    ],
)
def test_a_watch_outlasts_a_death(known: dict[str, Any], *, long: bool) -> None:
    what = "the watch went on for 6.0 s, and one of up to 6.0 s misses a death"
    assert refused(**known) == (None if long else (Check.WATCH, what))


def test_a_disruption_at_the_very_end_was_in_the_watch_and_not_watched() -> None:
    found = refused(disruption=Happened(STRUCK.what, 9.0, 30.0))
    assert found is not None
    assert found[0] is Check.WATCH
