# SPDX-License-Identifier: Apache-2.0
"""From what came of a cell to its record: outcomes, figures and consoles."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.config.cell_request import CellRequest
from lab.config.model import Accel, Dies, DisruptionKind, LabConfig, Survives
from lab.errors import BrokenHostError, InfraError, LabError, ProductError, UnavailableError
from lab.record.model import Outcome
from lab.runner.recording import record_of
from lab.runner.result import CellResult
from lab.verdict.problem import Problem, ProblemKind
from lab.verdict.verdict import Check, Figures, Lost, Survived, Unproven, Verdict

LAB = LabConfig.model_validate({"kernel": {"stock": {"recipe": "stock"}}})
CELL = CellRequest(disruption=DisruptionKind.VMM_KILL).cell(LAB, accel=Accel.TCG)
SURVIVED = Survived("it beat on", Check.ALL)
BEATS_ON = Figures(beats_on=True)


def came(verdict: Verdict | None, *, dies: bool = False) -> CellResult:
    wanted = Dies() if dies else Survives()
    return CellResult(cell=CELL.model_copy(update={"expectation": wanted}), verdict=verdict)


@pytest.mark.parametrize(
    ("broke", "outcome", "cause"),
    [
        (UnavailableError("no SVM"), Outcome.UNAVAILABLE, "no SVM"),
        (ProductError("it came up without"), Outcome.FAILED, "it came up without"),
        (BrokenHostError("a is broken"), Outcome.SKIPPED, "a is broken"),
        (InfraError("no answer"), Outcome.ERROR, "InfraError: no answer"),
    ],
)
def test_what_broke_in_the_lab_counts_before_any_verdict(
    broke: LabError, outcome: Outcome, cause: str
) -> None:
    record = record_of(replace(came(SURVIVED), broke=broke), rerun="")
    assert (record.outcome, record.first_cause) == (outcome, cause)


@pytest.mark.parametrize(
    ("result", "outcome", "cause"),
    [
        (came(SURVIVED), Outcome.PASSED, ""),
        (came(None), Outcome.ERROR, "it came to no verdict"),
        (came(Lost("silent", Check.SILENCE)), Outcome.FAILED, "silent"),
        (came(Lost("silent", Check.SILENCE), dies=True), Outcome.PASSED, ""),
        (
            came(Lost("silent", Check.SILENCE, figures=BEATS_ON), dies=True),
            *(Outcome.FAILED, "silent"),
        ),
        (came(Unproven("blind", Check.PATH), dies=True), Outcome.ERROR, "blind"),
    ],
)
def test_outcome_is_the_verdict_against_the_expectation(
    result: CellResult, outcome: Outcome, cause: str
) -> None:
    record = record_of(result, rerun="")
    assert (record.outcome, record.first_cause) == (outcome, cause)


def test_problem_of_the_product_fails_a_cell_that_survived() -> None:
    oops = Problem(ProblemKind.PRODUCT, "the kernel of a complained: Oops")
    record = record_of(replace(came(SURVIVED), problems=(oops,)), rerun="")
    assert (record.outcome, record.first_cause) == (
        Outcome.FAILED,
        "the kernel of a complained: Oops",
    )
    assert record.verdict is not None
    assert record.verdict.kind == "Survived"


def test_record_says_whether_the_guest_beats_on() -> None:
    verdict = record_of(came(Survived("", Check.ALL, figures=BEATS_ON)), rerun="").verdict
    assert verdict is not None
    assert verdict.figures["beats_on"] is True


def test_consoles_are_cut_around_the_disruption() -> None:
    consoles = {
        "host-console.log": [f"line {n}" for n in range(100)],
        "guest-console.log": ["no stamp"],
        "vmm-console.log": [],
    }
    result = replace(came(SURVIVED), struck_at=20, consoles=consoles)
    host, guest = record_of(result, rerun="").consoles
    assert (host.name, host.lines[host.struck or 0]) == ("host-console.log", "line 20")
    assert (guest.name, guest.struck) == ("guest-console.log", None)
