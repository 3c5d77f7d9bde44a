# SPDX-License-Identifier: Apache-2.0
"""How much RAM a guest verified since it was to go on, on trails that are made of instants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from lab.observe.identity import Happened, Undisturbed
from lab.observe.trail import Trail
from lab.verdict.evidence import ParkedClaim, Stop
from lab.verdict.figures import figures_of
from lab.verdict.judge import judge
from lab.verdict.ram_checks import ram, since, verified_mib
from lab.verdict.verdict import Check
from tests.support.made_trails import every, evidence_of, steady, trail_of
from tests.support.told import no_proof, numbers

BEATS, LOOKS = every(0.1, 0.0, 30.0), every(1.0, 0.0, 30.0)


def verifying(pages: Sequence[int] | None = None, *, vcpu: int = 0, nvcpus: int = 1) -> Trail:
    """Return the trail of a vCPU that has verified so many pages by each second."""
    counted = [256 * n for n in range(31)] if pages is None else pages
    return trail_of(BEATS, LOOKS, verified=counted, vcpu=vcpu, nvcpus=nvcpus)


@pytest.mark.parametrize(
    ("more", "at"),
    [
        ({}, 10.0),
        ({"disruption": Happened("kexec", 10.0, 12.0)}, 12.0),
        ({"disruption": Undisturbed()}, 9.0),
        ({"stops": (Stop(9.0, 14.0, "parked"), Stop(9.0, 11.0, "moved"))}, 14.0),
        ({"stops": (Stop(9.0, 9.5, "moved"),)}, 10.0),
        ({"adopted": 16.0}, 16.0),
        ({"adopted": 16.0, "stops": (Stop(12.0, 17.0, "moved"),)}, 17.0),
    ],
)
def test_a_guest_was_to_go_on_when_all_was_done_to_it(more: dict[str, Any], at: float) -> None:
    assert since(evidence_of(steady(), **more)) == at


@pytest.mark.parametrize(
    ("more", "mib"),
    [
        ({}, 19.0),  # from the look at 11, which began after the strike, to that at 30
        ({"end": 29.9}, 18.0),
        ({"disruption": Happened("kexec", 10.0, 10.1)}, 18.0),
        ({"adopted": 16.0}, 13.0),
        ({"end": 12.0}, 1.0),
        ({"end": 11.0}, 0.0),
        ({"end": 10.5}, 0.0),
    ],
)
def test_ram_counts_from_the_first_look_after_it_went_on(more: dict[str, Any], mib: float) -> None:
    trail = verifying()
    assert verified_mib(evidence_of(trail, **more), trail) == mib


def test_a_vcpu_that_never_verifies_is_not_asked_to() -> None:
    trail = verifying([-1] * 31)
    e = evidence_of(trail)
    assert verified_mib(e, trail) is None
    assert ram(e) is None
    assert figures_of(e).ram_mib is None
    later = verifying([-1] * 20 + [7] * 11)
    assert verified_mib(evidence_of(later), later) == pytest.approx(8 / 256)
    assert verified_mib(evidence_of(later, end=19.5), later) is None


def test_a_vcpu_that_has_verified_nothing_yet_is_asked_to() -> None:
    trail = verifying([0] * 31)
    assert verified_mib(evidence_of(trail), trail) == 0.0


def test_a_vcpu_that_beats_no_more_has_verified_nothing_since() -> None:
    trail = trail_of(every(0.1, 0.0, 10.0), LOOKS, verified=[256 * n for n in range(31)])
    assert verified_mib(evidence_of(trail), trail) == 0.0


def test_a_vcpu_that_counts_back_verified_nothing() -> None:
    trail = verifying([500] * 15 + [3] * 16)
    assert verified_mib(evidence_of(trail), trail) == 0.0


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({}, "vmm-kill"),
        ({"disruption": Undisturbed()}, "its baseline"),
        ({"stops": (Stop(10.0, 12.0, "parked"),)}, "it was resumed"),
        ({"adopted": 16.0}, "it was adopted"),
    ],
)
def test_a_vcpu_that_verified_nothing_proves_nothing(more: dict[str, Any], what: str) -> None:
    e = evidence_of(verifying(nvcpus=2), verifying([256] * 31, vcpu=1, nvcpus=2), **more)
    said = no_proof(f"vCPU 1 verified none of its RAM since {what}", Check.RAM)
    found = ram(e)
    assert found == said
    assert found is not None
    assert found.reason.endswith(f"since {what}")
    assert judge(e).check is Check.RAM


def test_an_orphan_that_verified_its_ram_until_its_adoption_proves_nothing() -> None:
    until_then = verifying([256 * min(n, 15) for n in range(31)])
    assert ram(evidence_of(until_then)) is None
    assert judge(evidence_of(until_then, adopted=15.5)).check is Check.RAM


def test_of_a_parked_guest_no_ram_is_asked_for() -> None:
    assert ram(evidence_of(verifying([256] * 31), parked=ParkedClaim("halted"))) is None


def test_what_all_vcpus_verified_is_told() -> None:
    e = evidence_of(verifying(nvcpus=2), verifying(vcpu=1, nvcpus=2))
    found = figures_of(e)
    assert found.ram_mib == 38.0
    assert [vcpu.ram_mib for vcpu in found.vcpus] == [19.0, 19.0]
    assert "38.00" in numbers(judge(e).reason)
    mixed = evidence_of(verifying(nvcpus=2), verifying([-1] * 31, vcpu=1, nvcpus=2))
    assert figures_of(mixed).ram_mib == 19.0
