# SPDX-License-Identifier: Apache-2.0
"""The longest gap that a guest counts itself has to be among its beats."""

from __future__ import annotations

import pytest

from lab.observe.trail import Own
from lab.verdict.evidence import Evidence
from lab.verdict.silence_checks import own_count
from lab.verdict.verdict import Check
from tests.support.made_trails import evidence_of, steady, trail_of
from tests.support.told import no_proof


def own(*gaps_ms: int, at: tuple[float, ...] = (0.0, 12.0, 31.0)) -> Evidence:
    trail = steady()
    trail.owns[:] = [Own(when, ms * 1_000_000, 0, 0) for when, ms in zip(at, gaps_ms, strict=False)]
    return evidence_of(trail)


@pytest.mark.parametrize(("ms", "same"), [((100,), True), ((99,), False), ((100, 100), True)])
def test_its_own_longest_gap_is_at_least_that_of_its_beats(
    ms: tuple[int, ...], *, same: bool
) -> None:
    said = "vCPU 0 counts 0.099 s as its longest gap, its beats 0.100 s"
    assert own_count(own(*ms)) == (None if same else no_proof(said, Check.OWN_COUNT))


def test_a_gap_of_before_the_watch_is_not_in_its_beats() -> None:
    assert own_count(own(700)) is None
    assert own_count(own(50, 700, at=(-2.0, -1.0))) is None


def test_a_gap_that_is_told_again_did_not_come_again() -> None:
    assert own_count(own(700, 700, at=(-1.0, 12.0))) is None


def test_a_gap_of_a_nanosecond_is_counted() -> None:
    trail = trail_of([1.0, 1.5], [2.0], stamps=[101.0, 101.000000001])
    trail.owns.clear()
    assert own_count(evidence_of(trail)) is not None


def test_a_gap_that_came_in_the_watch_is_in_its_beats() -> None:
    said = "vCPU 0 counts 0.101 s as its longest gap, its beats 0.100 s"
    assert own_count(own(50, 101)) == no_proof(said, Check.OWN_COUNT)
    assert own_count(own(50, 100)) is None
    assert own_count(own(50, 101, at=(-1.0, 0.0))) is None  # noted as the watch began


def test_what_it_counts_after_the_watch_is_not_asked_for() -> None:
    assert own_count(own(100, 100, 900)) is None
    assert own_count(own(100, 900, at=(0.0, 30.0))) is not None


def test_of_two_gaps_that_it_counts_the_longer_one_must_be_there() -> None:
    said = "vCPU 0 counts 0.200 s as its longest gap, its beats 0.100 s"
    assert own_count(own(50, 90, 200, at=(0.0, 11.0, 12.0))) == no_proof(said, Check.OWN_COUNT)


def test_what_counts_nothing_counts_no_gap() -> None:
    trail = steady()
    trail.owns.clear()
    said = "vCPU 0 counts 0.000 s as its longest gap, its beats 0.100 s"
    assert own_count(evidence_of(trail)) == no_proof(said, Check.OWN_COUNT)
