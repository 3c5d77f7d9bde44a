# SPDX-License-Identifier: Apache-2.0
"""What a later try can change: never a failure of the product, and in one sitting nothing bad."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from lab.record.model import CellRecord, CheckRecord, Outcome
from lab.record.tries import (
    after,
    after_none,
    begin_try,
    check_after,
    flaky,
    tries_of,
    worst_of,
)
from tests.support.records import LOST, cell

# From what counts most to what counts least; of equals, the later try is told of.
RANKS = (
    (Outcome.FAILED, Outcome.XPASSED),
    (Outcome.ERROR,),
    (Outcome.SKIPPED,),
    (Outcome.PASSED, Outcome.XFAILED, Outcome.UNAVAILABLE),
)
RANK = {outcome: n for n, each in enumerate(RANKS) for outcome in each}
NO_REASON = LOST.model_copy(update={"reason": ""})


def of(outcome: Outcome, cause: str = "") -> CellRecord:
    return cell(outcome=outcome, first_cause=cause, verdict=None)


def beside(outcome: Outcome, cause: str = "") -> CheckRecord:
    return CheckRecord(id="t", outcome=outcome, first_cause=cause)


@pytest.mark.parametrize(("first", "second"), tuple(product(RANK, RANK)))
def test_the_worst_try_of_a_sitting_counts(first: Outcome, second: Outcome) -> None:
    stays = RANK[first] < RANK[second] or RANK[first] == 0
    wanted = first if stays else second
    assert after(of(first), of(second), again=True).outcome is wanted
    assert check_after(beside(first), beside(second), again=True).outcome is wanted
    assert worst_of((first, second)) is (first if RANK[first] <= RANK[second] else second)


@pytest.mark.parametrize(("first", "second"), tuple(product(RANK, RANK)))
def test_of_a_later_sitting_the_last_try_counts_but_for_a_failure(
    first: Outcome, second: Outcome
) -> None:
    wanted = first if RANK[first] == 0 else second
    assert after(of(first), of(second), again=False).outcome is wanted
    assert check_after(beside(first), beside(second), again=False).outcome is wanted


def test_a_record_tells_of_the_try_that_does_not_count() -> None:
    passed, broke = of(Outcome.PASSED), of(Outcome.ERROR, "no virt")
    lost = cell(outcome=Outcome.FAILED, verdict=LOST)
    assert after(broke, passed, again=False).first_cause == "tried before, error: no virt"
    assert after(lost, broke, again=True).first_cause == "tried again, error: no virt"
    assert (
        after(passed, broke, again=True).first_cause == "no virt; tried before, passed: no reason"
    )
    said = after(lost, lost, again=False).first_cause
    assert said == f"tried again, failed: {LOST.reason}"


def test_a_check_tells_of_both_tries() -> None:
    told = check_after(beside(Outcome.ERROR, "x"), beside(Outcome.PASSED), again=False)
    assert told.first_cause == "passed: no reason; tried before, error: x"
    told = check_after(beside(Outcome.ERROR), beside(Outcome.FAILED, "y"), again=False)
    assert told.first_cause == "failed: y; tried before, error: no reason"


def test_tries_are_kept_of_one_sitting_and_make_a_test_flaky() -> None:
    passed, broke = of(Outcome.PASSED), of(Outcome.ERROR, "x")
    twice = after(passed, broke, again=True)
    assert [(one.outcome, one.first_cause) for one in twice.tries] == [
        (Outcome.PASSED, ""),
        (Outcome.ERROR, "x"),
    ]
    assert [one.outcome for one in after(twice, passed, again=True).tries] == [
        Outcome.PASSED,
        Outcome.ERROR,
        Outcome.PASSED,
    ]
    assert flaky(twice)
    assert not flaky(after(passed, passed, again=True))
    assert not flaky(passed)
    assert after(twice, passed, again=False).tries == ()
    checked = check_after(beside(Outcome.PASSED), beside(Outcome.FAILED), again=True)
    assert flaky(checked)
    assert len(checked.tries) == 2
    assert check_after(beside(Outcome.PASSED), beside(Outcome.FAILED), again=False).tries == ()
    assert len(tries_of(passed)) == 1
    assert tries_of(twice) == twice.tries


LEFT = "LeftNoRecord: a try before left no record: its worker died"


@pytest.mark.parametrize("outcome", RANK)
def test_a_try_that_left_no_record_is_no_pass(outcome: Outcome) -> None:
    told = after_none(of(outcome, "y"))
    assert [(one.outcome, one.first_cause) for one in told.tries] == [
        (Outcome.ERROR, LEFT),
        (outcome, "y"),
    ]
    if RANK[outcome] <= RANK[Outcome.ERROR]:
        assert (told.outcome, told.first_cause) == (outcome, "y")
    else:
        assert told.outcome is Outcome.ERROR
        assert told.first_cause == f"{LEFT}; tried again, {outcome}: y"
        assert after_none(of(outcome)).first_cause.endswith(f"{outcome}: no reason")


def test_a_test_is_tried_again_only_in_the_same_sitting(tmp_path: Path) -> None:
    assert not begin_try(tmp_path, "a", "one")
    assert not begin_try(tmp_path, "b", "one")
    assert begin_try(tmp_path, "a", "one")
    assert not begin_try(tmp_path, "a", "two")
    assert begin_try(tmp_path, "a", "one")
