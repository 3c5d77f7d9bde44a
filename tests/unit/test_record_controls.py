# SPDX-License-Identifier: Apache-2.0
"""No survival counts without its control in the same run, and no cell is away without a probe."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.record import shards
from lab.record.classify import AS_EXPECTED, CANNOT_TELL, Standing, exit_status, headline, standing
from lab.record.controls import with_what_is_lacking
from lab.record.model import CellRecord, ExpectationRecord, PlanRecord, RunHeader
from tests.support.records import DIES, LOST, STARTED, SURVIVED, UNPROVEN, cell, run

PLAN = PlanRecord(cells=2, checks=0, chosen_cells=2, chosen_checks=0, controls={"lives": "control"})
PARKS = ExpectationRecord(kind="parks")
XFAIL = ExpectationRecord(kind="xfail", reason="known", link="https://b/1")
PARKED = SURVIVED.model_copy(update={"kind": "Parked"})
LIVES = cell("lives")
CONTROL = cell("control", expectation=DIES, verdict=LOST)
AWAY = cell(
    "away",
    outcome="unavailable",
    verdict=None,
    witness={},
    expectation=ExpectationRecord(kind="unavailable", reason="no SEV-SNP"),
)


def lacks(*cells: CellRecord, plan: PlanRecord | None = PLAN) -> str:
    """Return what the first of these cells lacks in a run of all of them."""
    return with_what_is_lacking(cells, plan)[0].lacks


def test_a_survival_with_its_control_lacks_nothing() -> None:
    assert lacks(LIVES, CONTROL) == ""
    parked = cell("lives", expectation=PARKS, verdict=PARKED)
    assert lacks(parked, CONTROL) == ""


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ((), "its control control is not in this run"),
        ((cell("other", expectation=DIES, verdict=LOST),), "control is not in this run"),
        ((cell("control", expectation=DIES, outcome="failed"),), "control failed with Survived"),
        ((cell("control", expectation=DIES, outcome="error", verdict=UNPROVEN),), "with Unproven"),
        ((cell("control", expectation=DIES, outcome="skipped", verdict=None),), "with no verdict"),
        ((cell("control", verdict=LOST),), "control passed with Lost"),  # nobody wanted it to die
        ((cell("control", expectation=DIES, verdict=SURVIVED),), "with Survived"),
        ((cell("control", expectation=DIES, verdict=LOST, witness={}),), "passed with Lost"),
        (
            (CONTROL, cell("control", expectation=DIES, outcome="failed", repeat=2)),
            "control failed with Survived",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("wanted", ["survives", "parks"])
def test_a_survival_without_its_control_is_not_believed(
    others: tuple[CellRecord, ...], said: str, wanted: str
) -> None:
    mine = LIVES if wanted == "survives" else cell("lives", expectation=PARKS, verdict=PARKED)
    assert lacks(mine, *others).startswith("uncontrolled: ")
    assert said in lacks(mine, *others)
    alone = with_what_is_lacking((mine, cell("good", **NOTHING), *others), PLAN)
    assert standing(alone[0]) is Standing.LAB
    assert exit_status(run(*alone[:2], plan=PLAN)) == CANNOT_TELL
    assert "1 without a control" in headline(run(*alone[:2], plan=PLAN))


NOTHING: dict[str, object] = {"dimensions": {"disruption": "none"}, "witness": {}}


def test_a_survival_whose_topologies_have_no_control_says_so() -> None:
    assert "no cell of the topologies is its control" in lacks(cell("new"), CONTROL)


@pytest.mark.parametrize(
    "stands_alone",
    [
        cell("lives", **NOTHING),
        cell("lives", dimensions={"disruption": "vcpu-stop"}),
        cell("lives", expectation=DIES, verdict=LOST),
        cell("lives", outcome="failed", verdict=LOST),
        cell("lives", outcome="error", verdict=UNPROVEN),
        cell("lives", outcome="xfailed", verdict=LOST, expectation=XFAIL),
    ],
    ids=["nothing-done", "stopped", "a-control", "failed", "unproven", "known-failure"],
)
def test_what_is_a_control_or_no_survival_needs_none(stands_alone: CellRecord) -> None:
    assert lacks(stands_alone) == ""


def test_a_cell_alone_and_an_older_record_are_judged_by_themselves() -> None:
    assert lacks(LIVES, plan=None) == ""
    assert lacks(AWAY, plan=None) == ""


def test_a_cell_is_unavailable_only_by_a_probe() -> None:
    assert "no probe says why" in lacks(AWAY)
    assert "it is skipped" in lacks(AWAY.model_copy(update={"outcome": "skipped"}))
    seen = AWAY.model_copy(update={"witness": {"probe": "domcapabilities", "saw": "none"}})
    assert lacks(seen) == ""
    good = cell("good", **NOTHING)
    assert exit_status(run(good, *with_what_is_lacking((seen,), PLAN))) == AS_EXPECTED
    assert exit_status(run(good, *with_what_is_lacking((AWAY,), PLAN))) == CANNOT_TELL


def test_a_folder_is_merged_by_the_same_rule(tmp_path: Path) -> None:
    folder = shards.begin(tmp_path, RunHeader(run_id="7f3a", started=STARTED, plan=PLAN))
    shards.write_cell(folder, LIVES)
    (alone,) = shards.assemble(folder).cells
    assert "its control control is not in this run" in alone.lacks
    assert alone.outcome == LIVES.outcome  # as it came out itself
    shards.write_cell(folder, CONTROL)
    assert [each.lacks for each in shards.assemble(folder).cells] == ["", ""]
