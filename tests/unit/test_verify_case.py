# SPDX-License-Identifier: Apache-2.0
"""A late look voids an overrun; a stop that was measured wrongly is an error, or void."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lab.config.model import DisruptionKind
from lab.testing.simulated_guest import Rehearsal
from lab.verdict.problem import Problem, ProblemKind
from lab.verdict.verdict import Check
from lab.verify.case import Judged, judged
from tests.support.evidence_files import SIGHT, case_of
from tests.support.guests_in_and_out_of_sight import is_looked_at_too_rarely
from tests.support.guests_that_live_or_die import dies_at_once, lives_on


@pytest.mark.parametrize(
    ("story", "apart_s", "kinds"),
    [
        (is_looked_at_too_rarely, 0.2, [ProblemKind.VOID]),
        (is_looked_at_too_rarely, 0.1, []),
        (dies_at_once, 0.2, []),
    ],
)
def test_only_a_late_look_voids_only_an_overrun(
    story: Any, apart_s: float, kinds: list[ProblemKind]
) -> None:
    case = case_of(story(Rehearsal()), sight=replace(SIGHT, longest_s=apart_s))
    found = judged(case)
    assert (found.verdict.check is Check.OVERRUN) is (story is is_looked_at_too_rarely)
    assert [problem.kind for problem in found.problems] == kinds
    assert found.facts == case.facts


def stopped(kind: DisruptionKind, inner: float, outer: float) -> Judged:
    """Judge a guest that beats each 10 ms, and was stopped for so many."""
    done = {"stop_inner_ms": inner, "stop_outer_ms": outer}
    return judged(case_of(lives_on(Rehearsal(2)), disruption=kind, done=done, facts={}))


@pytest.mark.parametrize(
    ("inner", "outer", "kinds"),
    [
        (5.0, 15.0, []),
        (500.0, 510.0, [ProblemKind.FIGURES]),
        (100.0, 400.0, [ProblemKind.VOID, ProblemKind.FIGURES]),
    ],
)
def test_a_silence_is_compared_with_the_stop_that_made_it(
    inner: float, outer: float, kinds: list[ProblemKind]
) -> None:
    found = stopped(DisruptionKind.VCPU_STOP, inner, outer)
    assert [problem.kind for problem in found.problems] == kinds * 2
    assert list(found.facts) == ["calibration_vcpu0", "calibration_vcpu1"]
    another = stopped(DisruptionKind.VMM_KILL, inner, outer)
    assert (another.facts, another.problems) == ({}, ())


def test_what_was_found_beside_the_verdict_comes_first() -> None:
    oops = Problem(ProblemKind.PRODUCT, "the kernel of a complained: Oops")
    case = case_of(lives_on(Rehearsal()), problems=(oops,))
    case.evidence.trails[0].links[3] ^= 1
    assert [each.kind for each in judged(case).problems] == [
        ProblemKind.PRODUCT,
        ProblemKind.FIGURES,
    ]
