# SPDX-License-Identifier: Apache-2.0
"""The status of each test of a run, of absent ones and of the run itself, one by one."""

from __future__ import annotations

import pytest

from lab.record.classify import (
    LADDER,
    RUN,
    Classified,
    Gap,
    Standing,
    Status,
    classified,
    exit_status,
    false_starts,
    headline,
    must_run_gaps,
    standing,
    status_of,
)
from lab.record.doubt import PROBE
from lab.record.model import NO_RECORD, CheckRecord, Outcome, PlanRecord
from tests.support.records import SURVIVED, cell, run

ABSENT = (Outcome.UNAVAILABLE, Outcome.SKIPPED)


def check(name: str, outcome: Outcome, **more: object) -> CheckRecord:
    return CheckRecord.model_validate({"id": name, "outcome": outcome, **more})


@pytest.mark.parametrize(
    ("outcome", "cause", "status"),
    [
        (Outcome.ERROR, NO_RECORD, Status.INTERRUPTED),
        (Outcome.ERROR, "the host is gone", Status.ERROR),
        (Outcome.FAILED, NO_RECORD, Status.FAILED),
        (Outcome.SKIPPED, NO_RECORD, Status.SKIPPED),
    ],
)
def test_only_an_error_without_a_record_is_interrupted(
    outcome: Outcome, cause: str, status: Status
) -> None:
    assert status_of(cell(outcome=outcome, first_cause=cause, verdict=None)) is status


@pytest.mark.parametrize("outcome", ABSENT)
def test_what_must_run_may_not_be_absent(outcome: Outcome) -> None:
    absent = cell("a", outcome=outcome, verdict=None)
    assert status_of(absent, must_run=True) is Status.NOT_RUN
    assert status_of(absent) is Status(outcome.value)
    assert status_of(cell("a"), must_run=True) is Status.PASSED
    record = run(cell("b"), absent, must_run=("a",), checks=())
    assert [(one.name, one.status) for one in classified(record)] == [
        ("b", Status.PASSED),
        ("a", Status.NOT_RUN),
    ]


def test_a_repeat_is_told_by_its_key() -> None:
    again = cell("a", repeat=2)
    assert [one.name for one in classified(run(cell("a"), again))] == ["a", again.key]
    assert again.key != "a"


@pytest.mark.parametrize(
    ("outcome", "status"),
    [(Outcome.SKIPPED, Status.NOT_RUN), (Outcome.UNAVAILABLE, Status.UNAVAILABLE)],
)
def test_a_test_beside_the_cells_says_why_it_is_absent(outcome: Outcome, status: Status) -> None:
    beside = check("t", outcome)
    record = run(cell("b"), must_run=("b",), checks=(beside,))
    assert classified(record)[-1] == Classified("t", status, record=beside)
    assert classified(record, ("b", "t"))[1] == Classified("t", status, record=beside)


def test_a_cell_without_a_record_is_the_labs_to_explain() -> None:
    lost = cell(outcome=Outcome.ERROR, first_cause=NO_RECORD, verdict=None)
    assert standing(lost) is Standing.LAB


def test_a_test_beside_the_cells_has_no_probe() -> None:
    away = check("t", Outcome.UNAVAILABLE)
    assert status_of(away, must_run=True) is Status.NOT_RUN


def test_a_part_of_the_ladder_is_told_as_one() -> None:
    plan = PlanRecord(cells=2, checks=0, chosen_cells=1, chosen_checks=0, asked="-k one")
    told = classified(run(cell("one"), plan=plan))[-1]
    assert (told.name, told.status) == (LADDER, Status.SKIPPED)
    assert "-k one" in told.why


def test_a_gap_says_why_the_plan_left_it_out() -> None:
    plan = PlanRecord(cells=2, checks=0, chosen_cells=1, chosen_checks=0, left_out={"two": "why"})
    assert must_run_gaps(run(cell("one"), plan=plan)) == (Gap("two", "why"),)


@pytest.mark.parametrize(
    ("outcome", "witness", "status"),
    [
        (Outcome.UNAVAILABLE, {PROBE: "no /dev/sev"}, Status.UNAVAILABLE),
        (Outcome.UNAVAILABLE, {PROBE: ""}, Status.NOT_RUN),
        (Outcome.UNAVAILABLE, {}, Status.NOT_RUN),
        (Outcome.SKIPPED, {PROBE: "no /dev/sev"}, Status.NOT_RUN),
    ],
)
def test_only_a_probe_excuses_a_cell_that_must_run(
    outcome: Outcome, witness: dict[str, object], status: Status
) -> None:
    absent = cell("a", outcome=outcome, verdict=None, witness=witness)
    assert status_of(absent, must_run=True) is status


def test_what_had_to_run_and_left_nothing_is_told_once() -> None:
    record = run(cell("b"), checks=())
    found = classified(record, ("gone", "b", "gone"))
    (gap,) = must_run_gaps(record, ("gone", "b"))
    assert found[1:] == (Classified("gone", Status.NOT_RUN, str(gap)),)
    assert must_run_gaps(record, ("gone", "b")) == (Gap("gone", "it is missing from the run"),)


def test_gaps_come_in_the_order_of_what_must_run() -> None:
    cells = [cell(name, outcome=Outcome.SKIPPED, verdict=None) for name in ("a", "b", "c")]
    cells[0] = cells[0].model_copy(update={"first_cause": "no arm64"})
    record = run(*cells, cell("d"), must_run=("c", "x", "a", "d"))
    assert must_run_gaps(record) == (
        Gap("c", "it was skipped: no reason"),
        Gap("x", "it is missing from the run"),
        Gap("a", "it was skipped: no arm64"),
    )
    assert [gap.cell_id for gap in must_run_gaps(record, ("b", "a"))] == ["b", "a"]


def test_a_run_is_told_only_where_nothing_else_says_what_is_wrong() -> None:
    nothing = [cell("a", outcome=Outcome.SKIPPED, verdict=None)]
    beside = (check("t", Outcome.PASSED),)

    def of_run(**changes: object) -> list[Status]:
        record = run(*nothing, **changes)
        return [one.status for one in classified(record) if one.name == RUN]

    assert of_run() == [Status.NOT_RUN]
    assert of_run(checks=beside) == [Status.NOT_RUN]  # it judged no cell
    assert of_run(checks=(check("t", Outcome.FAILED),)) == []
    assert of_run(ended=None) == [Status.INTERRUPTED]
    assert [one.name for one in classified(run(cell("a")))] == ["a"]
    assert classified(run(cell("a"), ended=None))[-1].status is Status.INTERRUPTED


def test_a_gap_of_the_run_itself_is_no_cells() -> None:
    assert must_run_gaps(run(cell("a", outcome=Outcome.SKIPPED, verdict=None))) == ()


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        ((Outcome.PASSED,), 0),
        ((Outcome.PASSED, Outcome.ERROR), 125),
        ((Outcome.PASSED, Outcome.ERROR, Outcome.FAILED), 1),
        ((Outcome.PASSED, Outcome.FAILED), 1),
    ],
)
def test_the_worst_of_a_run_is_its_exit_status(outcomes: tuple[Outcome, ...], status: int) -> None:
    cells = [
        cell(str(n), outcome=one, **({} if one is Outcome.PASSED else {"verdict": None}))
        for n, one in enumerate(outcomes)
    ]
    assert exit_status(run(*cells)) == status


@pytest.mark.parametrize(
    ("told", "count"), [({}, 0), ({"false_starts": 2}, 2), ({"false_starts": "x"}, 0)]
)
def test_false_starts_are_counted_where_figures_tell(told: dict[str, object], count: int) -> None:
    assert false_starts(cell(verdict=SURVIVED.model_copy(update={"figures": told}))) == count
    assert false_starts(cell(verdict=None, outcome=Outcome.ERROR)) == 0


def test_a_headline_counts_each_standing() -> None:
    late = SURVIVED.model_copy(update={"figures": {"false_starts": 2}})
    cells = [
        cell("good", verdict=late),
        cell("bad", outcome=Outcome.FAILED, verdict=None),
        cell("worse", outcome=Outcome.FAILED, verdict=None),
        cell("odd", outcome=Outcome.ERROR, verdict=None),
        cell("off", outcome=Outcome.SKIPPED, verdict=None),
    ]
    checks = [
        check("t1", Outcome.PASSED),
        check("t2", Outcome.FAILED),
        check("t3", Outcome.ERROR),
        check("t4", Outcome.SKIPPED),
    ]
    said = headline(run(*cells, checks=tuple(checks), must_run=("off",)))
    assert said.startswith("FAILED: 1 of 5 cells as expected, 2 not as expected, 1 cannot tell, ")
    assert "1 of 4 tests beside them passed (1 failed, 1 broke, 1 were not run)" in said
    assert "false starts: 2" in said
    assert ", 2 that had to run" in said
    good = headline(run(cell("good"), checks=(check("t1", Outcome.PASSED),)))
    assert good == "AS EXPECTED: 1 of 1 cells as expected, 1 of 1 tests beside them passed"
    assert headline(run(cell("a"), ended=None)).startswith("CANNOT TELL: ")
    assert headline(run(cell("a"), ended=None)).endswith(", the run did not end")


def test_a_headline_says_which_part_was_run_and_what_is_flaky() -> None:
    plan = PlanRecord(cells=2, checks=0, chosen_cells=1, chosen_checks=0, asked="-k one")
    assert headline(run(cell("one"), plan=plan)).startswith(f"AS EXPECTED: {plan.part}; 1 of 1 ")
    tries = [{"outcome": "failed", "first_cause": "x"}, {"outcome": "passed"}]
    retried = {"outcome": "failed", "tries": tries}
    told = headline(run(cell("a", **retried), checks=(check("t", Outcome.PASSED),)))
    assert ", 1 flaky: retried, and came out otherwise" in told
    beside = CheckRecord.model_validate({"id": "t", **retried})
    assert ", 1 flaky: " in headline(run(cell("a"), checks=(beside,)))
    assert ", 2 flaky: " in headline(run(cell("a", **retried), checks=(beside,)))
    assert "flaky" not in headline(run(cell("a"), checks=(check("t", Outcome.PASSED),)))
