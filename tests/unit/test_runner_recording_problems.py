# SPDX-License-Identifier: Apache-2.0
"""From what came of a cell to its record: no fault or complaint is lost on the way."""

from __future__ import annotations

from typing import Any

import pytest

from lab.config.cell_request import CellRequest
from lab.config.model import Accel, Cell, Dies, DisruptionKind, LabConfig, Survives, VmmKind, Xfail
from lab.errors import BrokenHostError, InfraError, UnavailableError
from lab.record.model import Outcome
from lab.runner.recording import record_of
from lab.runner.result import CellResult
from lab.testing.simulated_guest import Rehearsal
from lab.verdict.judge import judge
from lab.verdict.problem import Problem, ProblemKind
from lab.verdict.verdict import Check, Lost, Survived, Unproven, Verdict
from tests.support.guests_that_live_or_die import lives_on

LAB = LabConfig.model_validate({"kernel": {"stock": {"recipe": "stock"}}})
SURVIVED = Survived("it beat on", Check.ALL)
LOST = Lost("it was silent", Check.SILENCE)
KNOWN = Xfail(reason="not yet", link="https://example.org/1")


def cell(expectation: Any) -> Cell:
    made = CellRequest(vmm=VmmKind.LABVMM, disruption=DisruptionKind.VMM_KILL).cell(
        LAB, accel=Accel.TCG
    )
    return made.model_copy(update={"expectation": expectation})


def outcome(
    expectation: Any, verdict: Verdict | None, *, fault: str = "", complaint: str = ""
) -> tuple[Outcome, str]:
    told = {ProblemKind.FIGURES: complaint, ProblemKind.PRODUCT: fault}
    problems = tuple(Problem(kind, reason) for kind, reason in told.items() if reason)
    result = CellResult(cell=cell(expectation), verdict=verdict, problems=problems)
    record = record_of(result, rerun="lab run")
    return record.outcome, record.first_cause


@pytest.mark.parametrize(
    ("expectation", "verdict", "came"),
    [
        (Survives(), SURVIVED, Outcome.PASSED),
        (Dies(), LOST, Outcome.PASSED),
        (KNOWN, LOST, Outcome.XFAILED),
        (KNOWN, SURVIVED, Outcome.XPASSED),
    ],
)
def test_a_fault_or_a_complaint_overturns_each_outcome(
    expectation: Any, verdict: Verdict, came: Outcome
) -> None:
    assert outcome(expectation, verdict)[0] is came
    assert outcome(expectation, verdict, fault="BUG: KASAN") == (Outcome.FAILED, "BUG: KASAN")
    assert outcome(expectation, verdict, complaint="odd") == (Outcome.ERROR, "odd")


def test_a_loss_that_was_not_expected_is_told_by_its_own_reason() -> None:
    assert outcome(Survives(), LOST, fault="BUG: KASAN") == (Outcome.FAILED, "it was silent")
    assert outcome(Survives(), None)[0] is Outcome.ERROR
    unproven = Unproven("nobody saw", Check.EYE)
    assert outcome(Survives(), unproven, fault="x") == (Outcome.ERROR, "nobody saw")


@pytest.mark.parametrize(
    ("broke", "came"),
    [
        (InfraError("it broke"), Outcome.ERROR),
        (BrokenHostError("it was broken"), Outcome.SKIPPED),
        (UnavailableError("there is none"), Outcome.UNAVAILABLE),
    ],
)
def test_what_the_lab_broke_is_never_the_product_s(broke: Any, came: Outcome) -> None:
    result = CellResult(cell=cell(Survives()), verdict=SURVIVED, broke=broke)
    assert record_of(result, rerun="lab run").outcome is came


def test_the_record_has_the_clock_the_pace_and_the_rewind_bound() -> None:
    result = CellResult(cell=cell(Survives()), verdict=judge(lives_on(Rehearsal(2))))
    verdict = record_of(result, rerun="lab run").verdict
    assert verdict is not None
    told = verdict.figures
    assert told["clock_rate"] == pytest.approx(1, abs=0.02)
    assert told["beat_rate"] == pytest.approx(1, abs=0.05)
    assert abs(float(told["clock_step_ms"] or 0)) < 20
    assert 0 < float(told["rewind_ms"] or 0) < 60
    assert 0 < int(told["rewind_beats"] or 0) <= 6
