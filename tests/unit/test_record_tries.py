# SPDX-License-Identifier: Apache-2.0
"""Which of several tries counts: in one sitting the worst, over sittings the last or a failure."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from lab.record import shards
from lab.record.classify import Status, exit_status, headline, status_of
from lab.record.groups import grouped
from lab.record.labels import word
from lab.record.model import CellRecord, CheckRecord, Outcome, RunHeader
from lab.record.tries import begin_try, flaky, worst_of
from tests.support.records import LOST, cell, run

STARTED = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shards.begin(tmp_path, RunHeader(run_id="7f3a", started=STARTED))


def came(outcome: str) -> CellRecord:
    changes: dict[str, object] = {"outcome": outcome, "first_cause": f"it {outcome}"}
    if outcome in {"error", "failed"}:
        changes["verdict"] = LOST if outcome == "failed" else None
    return cell("one", **changes)


def check(outcome: str) -> CheckRecord:
    return CheckRecord.model_validate({"id": "t", "outcome": outcome, "first_cause": "so"})


@pytest.mark.parametrize(
    ("tries", "again", "resumed"),
    [
        (("failed", "passed"), "failed", "failed"),
        (("error", "passed"), "error", "passed"),
        (("passed", "error"), "error", "error"),
        (("error", "failed"), "failed", "failed"),
        (("failed", "error"), "failed", "failed"),
        (("skipped", "passed"), "skipped", "passed"),
        (("passed", "passed"), "passed", "passed"),
        (("error", "passed", "passed"), "error", "passed"),
    ],
)
def test_the_worst_try_of_a_sitting_counts(
    tries: tuple[str, ...], again: str, resumed: str, tmp_path: Path
) -> None:
    for n, (retried, expected) in enumerate(((True, again), (False, resumed))):
        made = shards.begin(tmp_path, RunHeader(run_id=f"r{n}", started=STARTED))
        for turn, outcome in enumerate(tries):
            shards.write_cell(made, came(outcome), again=retried and turn > 0)
            shards.write_check(made, check(outcome), again=retried and turn > 0)
        record = shards.assemble(made)
        (one,), (beside,) = record.cells, record.checks
        assert (one.outcome, beside.outcome) == (expected, expected)
        for test in (one, beside):
            assert [t.outcome.value for t in test.tries] == (list(tries) if retried else [])
            assert flaky(test) is (retried and len(set(tries)) > 1)


@pytest.mark.parametrize(("outcome", "counts"), [("passed", "error"), ("failed", "failed")])
def test_a_try_that_left_no_record_is_no_pass(outcome: str, counts: str, folder: Path) -> None:
    shards.write_cell(folder, came(outcome), again=True)
    (one,) = shards.assemble(folder).cells
    assert one.outcome == counts
    assert [t.outcome.value for t in one.tries] == ["error", outcome]
    assert status_of(one) in {Status.ERROR, Status.FAILED}


def test_a_sitting_knows_what_it_began(folder: Path) -> None:
    assert begin_try(folder, "a/b", "s1") is False
    assert begin_try(folder, "other", "s1") is False
    assert begin_try(folder, "a/b", "s2") is False  # a run that is resumed
    assert begin_try(folder, "a/b", "s2") is True
    assert begin_try(folder, "a/b", "s1") is True


def test_what_came_out_both_ways_is_flaky_and_no_pass(folder: Path) -> None:
    shards.write_cell(folder, came("failed"))
    shards.write_cell(folder, came("passed"), again=True)
    (one,) = shards.assemble(folder).cells
    record = run(one)
    assert (word(one), exit_status(record)) == ("FLAKY", 1)
    assert "1 flaky: retried, and came out otherwise" in headline(record)
    (group,) = grouped(record)
    assert (group.flaky, group.word) == (True, "FLAKY")
    assert word(came("failed")) == "FAIL"
    assert "flaky" not in headline(run(came("failed")))


def test_the_worst_of_outcomes() -> None:
    assert worst_of([Outcome.PASSED, Outcome.XFAILED]) is Outcome.PASSED
    assert worst_of([Outcome.SKIPPED, Outcome.ERROR, Outcome.XPASSED]) is Outcome.XPASSED
