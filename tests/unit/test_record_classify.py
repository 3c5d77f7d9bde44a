# SPDX-License-Identifier: Apache-2.0
"""What a run amounts to. Each way of being wrongly green is a named case."""

from __future__ import annotations

import pytest

from lab.config.enums import Scope
from lab.record.classify import (
    AS_EXPECTED,
    CANNOT_TELL,
    NOT_AS_EXPECTED,
    Standing,
    exit_status,
    headline,
    must_run_gaps,
    standing,
)
from lab.record.doubt import doubt, failing
from lab.record.model import CellRecord, ChildRecord, ExpectationRecord
from tests.support.records import DIES, LOST, SURVIVED, SURVIVES, UNPROVEN, cell, run

IN_MEMORY = ExpectationRecord(kind="survives", scope=Scope.MEMORY)
XFAIL = ExpectationRecord(kind="xfail", reason="known")
PARKED = SURVIVED.model_copy(update={"kind": "Parked", "scope": Scope.MEMORY})
BEATS_ON = LOST.model_copy(update={"figures": {"check": "silence", "beats_on": True}})
MEMORY = SURVIVED.model_copy(update={"scope": Scope.MEMORY})


@pytest.mark.parametrize(
    ("changes", "want"),
    [
        ({}, Standing.EXPECTED),
        ({"expectation": DIES, "verdict": LOST}, Standing.EXPECTED),
        ({"expectation": IN_MEMORY, "verdict": MEMORY}, Standing.EXPECTED),
        ({"outcome": "failed", "verdict": LOST}, Standing.PRODUCT),
        ({"outcome": "failed", "verdict": None}, Standing.PRODUCT),
        ({"outcome": "xfailed", "verdict": LOST, "expectation": XFAIL}, Standing.EXPECTED),
        ({"outcome": "xpassed", "expectation": XFAIL}, Standing.PRODUCT),
        ({"outcome": "error", "verdict": None}, Standing.LAB),
        ({"outcome": "unavailable", "verdict": None}, Standing.ABSENT),
        ({"outcome": "skipped", "verdict": None}, Standing.ABSENT),
    ],
)
def test_each_outcome_has_one_to_blame(changes: dict[str, object], want: Standing) -> None:
    assert standing(cell("one", **changes)) is want


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"verdict": None}, "without a proven verdict"),
        ({"verdict": UNPROVEN}, "without a proven verdict"),
        ({"witness": {}}, "without a witness of the disruption"),
        ({"witness": {"kind": "DidNot", "reason": "it is there"}}, "without a witness of the dis"),
        ({"witness": {"kind": "Undisturbed"}}, "without a witness of the disruption"),
        ({"expectation": None}, "nobody said what to expect"),
        ({"verdict": LOST}, "with Lost where survives (running)"),
        ({"verdict": MEMORY}, "with Survived (memory) where survives (running)"),
        ({"verdict": PARKED}, "with Parked (memory) where survives (running)"),
        ({"expectation": IN_MEMORY, "verdict": PARKED}, "with Parked (memory) where survives (m"),
        ({"expectation": DIES, "verdict": BEATS_ON}, "with Lost where dies"),
        ({"outcome": "xfailed", "expectation": XFAIL}, "it xfailed with Survived (running) where"),
        ({"expectation": DIES}, "with Survived (running) where dies"),
        ({"expectation": XFAIL}, "where xfail"),
        ({"outcome": "xfailed", "verdict": UNPROVEN, "expectation": XFAIL}, "it xfailed without"),
        ({"outcome": "xfailed", "verdict": None, "expectation": XFAIL}, "it xfailed without"),
        ({"outcome": "failed", "verdict": UNPROVEN}, "on an unproven verdict"),
    ],
)
def test_an_outcome_without_its_evidence_is_not_believed(
    changes: dict[str, object], says: str
) -> None:
    doubtful = cell("doubtful", **changes)
    assert says in doubt(doubtful)
    assert standing(doubtful) is Standing.LAB
    assert exit_status(run(cell("good"), doubtful)) == CANNOT_TELL


def test_a_control_needs_no_witness_of_a_disruption() -> None:
    assert doubt(cell(dimensions={"disruption": "none"}, witness={})) == ""


def children(*statuses: str) -> tuple[ChildRecord, ...]:
    """Return what tests inside a cell printed, each named by its place."""
    return tuple(
        ChildRecord.model_validate({"name": f"t{n}", "status": status})
        for n, status in enumerate(statuses)
    )


def test_a_test_inside_a_cell_fails_also_by_not_ending() -> None:
    told = children("ok", "not ok", "skip", "timeout", "xfail", "missing")
    assert failing(told) == ("t1", "t3", "t5")
    assert failing(children("ok", "skip")) == ()


def test_a_pass_is_doubted_by_the_first_test_inside_that_failed() -> None:
    inside = cell(verdict=None, witness={}, children=children("ok", "not ok", "ok", "timeout"))
    assert doubt(inside) == "it passed, and t1 inside it did not"
    well = inside.model_copy(update={"children": children("ok", "skip")})
    assert doubt(well) == ""  # others judged: it has no verdict of the lab's, and needs none


@pytest.mark.parametrize("outcome", ["error", "unavailable", "skipped", "failed"])
def test_what_claims_nothing_is_not_doubted(outcome: str) -> None:
    assert doubt(cell(outcome=outcome, verdict=None, witness={})) == ""


GOOD = cell("good")
BAD = cell("bad", outcome="failed", verdict=LOST)
BROKEN = cell("broken", outcome="error", verdict=None)
AWAY = cell("away", outcome="unavailable", verdict=None, first_cause="no SVM")


@pytest.mark.parametrize(
    ("cells", "status"),
    [
        ((GOOD, AWAY), AS_EXPECTED),
        ((GOOD, BAD), NOT_AS_EXPECTED),
        ((GOOD, BROKEN), CANNOT_TELL),
        ((BAD, BROKEN), NOT_AS_EXPECTED),
        ((AWAY,), CANNOT_TELL),
        ((), CANNOT_TELL),
    ],
)
def test_the_exit_status_tells_the_product_from_the_lab(
    cells: tuple[CellRecord, ...], status: int
) -> None:
    assert exit_status(run(*cells)) == status


def test_a_run_that_did_not_end_tells_nothing() -> None:
    record = run(GOOD, ended=None)
    assert exit_status(record) == CANNOT_TELL
    assert headline(record).endswith("the run did not end")


def test_missing_must_run_cells_are_named_with_the_reason() -> None:
    record = run(GOOD, AWAY, must_run=("good", "away", "nowhere"))
    assert [str(gap) for gap in must_run_gaps(record)] == [
        "away had to run here: it was unavailable: no SVM",
        "nowhere had to run here: it is missing from the run",
    ]
    assert exit_status(record) == CANNOT_TELL
    assert headline(record).startswith(
        "CANNOT TELL: 1 of 2 cells as expected, 1 not run, 2 that had to run"
    )


def test_callers_must_run_list_overrides_the_records() -> None:
    assert exit_status(run(GOOD, must_run=("nowhere",)), must_run=["good"]) == AS_EXPECTED


def test_what_was_expected_is_not_by_itself_a_result() -> None:
    assert standing(cell(expectation=SURVIVES, outcome="failed")) is Standing.PRODUCT


def test_a_cell_that_must_run_has_to_run_every_time() -> None:
    away = AWAY.model_copy(update={"id": "good", "repeat": 1})
    again = GOOD.model_copy(update={"repeat": 2})
    (gap,) = must_run_gaps(run(away, again, must_run=("good",)))
    assert gap.cell_id == "good"


def test_false_start_is_reported_on_the_first_line() -> None:
    figures = {"false_starts": 1}
    late = cell("late", verdict=SURVIVED.model_copy(update={"figures": figures}))
    assert "false starts: 1" in headline(run(GOOD, late))
    assert exit_status(run(GOOD, late)) == AS_EXPECTED
    assert "false start" not in headline(run(GOOD))


def test_a_cell_that_must_run_is_unavailable_only_by_what_a_probe_saw() -> None:
    seen = {"kind": "Probed", "probe": "configuration of kernel 'mine'", "saw": "no CONFIG_KEXEC"}
    probed = AWAY.model_copy(update={"witness": seen})
    assert exit_status(run(GOOD, probed, must_run=("away",))) == AS_EXPECTED
    assert exit_status(run(GOOD, AWAY, must_run=("away",))) == CANNOT_TELL
    skipped = probed.model_copy(update={"outcome": "skipped"})
    assert exit_status(run(GOOD, skipped, must_run=("away",))) == CANNOT_TELL
