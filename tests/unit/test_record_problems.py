# SPDX-License-Identifier: Apache-2.0
"""Of what is wrong beside a verdict, the first of its kind is told."""

from __future__ import annotations

from lab.config.enums import Scope
from lab.config.model import Survives
from lab.record.expectation import decide
from lab.record.model import Outcome, VerdictRecord
from lab.record.plan import expected
from lab.verdict.problem import Problem, ProblemKind


def test_of_several_problems_the_first_of_its_kind_is_told() -> None:
    lived = VerdictRecord(kind="Survived", scope=Scope.RUNNING, reason="it lived")
    problems = [
        Problem(ProblemKind.FIGURES, "off"),
        Problem(ProblemKind.PRODUCT, "first"),
        Problem(ProblemKind.PRODUCT, "second"),
    ]
    assert decide(expected(Survives()), lived, problems) == (Outcome.FAILED, "first")


def test_a_problem_is_told_by_its_reason() -> None:
    assert f"{Problem(ProblemKind.HOST, 'it is short of memory')}" == "it is short of memory"
