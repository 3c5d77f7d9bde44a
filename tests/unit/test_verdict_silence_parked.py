# SPDX-License-Identifier: Apache-2.0
"""A parked guest is silent, and in sight, and had lived."""

from __future__ import annotations

from typing import Any

import pytest

from lab.observe.trail import Trail
from lab.verdict.evidence import Evidence, ParkedClaim
from lab.verdict.silence_checks import parked
from lab.verdict.verdict import Check
from tests.support.made_trails import every, evidence_of, steady, trail_of
from tests.support.told import no_proof

LOOKS = every(0.1, 0.0, 30.0)
CLAIM = ParkedClaim("halted")


def held(trail: Trail, **more: Any) -> Evidence:
    return evidence_of(trail, parked=CLAIM, **more)


def test_a_parked_guest_is_silent_and_in_sight() -> None:
    assert parked(held(trail_of(every(0.1, 0.0, 10.0), LOOKS))) is None
    assert parked(evidence_of(steady())) is None


def test_a_parked_guest_that_beats_is_none() -> None:
    said = "the caretaker says that the guest is parked (halted), and vCPU 0 beats"
    assert parked(held(steady())) == no_proof(said, Check.PARKED)


@pytest.mark.parametrize(("last", "silent_long"), [(28.9, True), (29.0, False)])
def test_a_parked_guest_is_silent_for_longer_than_closing(
    last: float, *, silent_long: bool
) -> None:
    found = parked(held(trail_of(every(0.1, 0.0, last), LOOKS)))
    assert (found is None) is silent_long


def test_a_parked_guest_out_of_sight_is_none() -> None:
    said = "the caretaker says that the guest is parked (halted), and vCPU 0 was out of sight"
    trail = trail_of(every(0.1, 0.0, 20.0), every(0.1, 0.0, 20.0))
    assert parked(held(trail)) == no_proof(said, Check.PARKED)


def test_a_parked_guest_that_beats_is_told_from_one_out_of_sight() -> None:
    said = []
    for unseen in (0.0, 0.9, 1.2, 5.0):
        trail = trail_of(every(0.1, 0.0, 30.0), every(0.1, 0.0, 30.0 - unseen))
        found = parked(held(trail))
        assert found is not None
        said.append(found.reason)
    assert said[0] == said[1] != said[2] == said[3]
    assert "beats" in said[0]


def test_a_parked_guest_had_lived() -> None:
    said = no_proof("vCPU 0 was not seen alive when it was struck", Check.EARLY)
    assert parked(held(trail_of(every(0.1, 0.0, 5.0), LOOKS))) == said


def test_a_parked_guest_beat_on_the_page_that_is_watched() -> None:
    trail = trail_of(every(0.1, 0.0, 10.0), LOOKS)
    trail.moves.append(12.0)
    said = no_proof("vCPU 0 never beat on the page that was watched in the end", Check.PAGE)
    assert parked(held(trail)) == said


def test_each_vcpu_of_a_parked_guest_is_asked_for() -> None:
    first, second = trail_of(every(0.1, 0.0, 10.0), LOOKS), steady(1)
    said = "the caretaker says that the guest is parked (halted), and vCPU 1 beats"
    found = parked(evidence_of(first, second, parked=CLAIM))
    assert found == no_proof(said, Check.PARKED)
