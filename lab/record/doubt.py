# SPDX-License-Identifier: Apache-2.0
"""Whether the outcome of a cell is carried by its evidence: what a record says is not believed."""

from __future__ import annotations

from collections.abc import Iterable

from lab.record.expectation import OUTCOMES, compare
from lab.record.model import CellRecord, ChildRecord, Outcome

PROBE = "probe"  # the key of a witness that has what was asked of a machine; "saw" is its answer


def failing(children: Iterable[ChildRecord]) -> tuple[str, ...]:
    """Name the tests inside a cell that failed; one that did not come to its end is one.

    Args:
        children: What the tests printed.

    Returns:
        Their names.
    """
    bad = {"not ok", "timeout", "missing"}
    return tuple(child.name for child in children if child.status in bad)


def doubt(cell: CellRecord) -> str:
    """Return why the outcome of a cell cannot be believed; empty when it can."""
    if cell.lacks:
        return cell.lacks
    kind = cell.verdict.kind if cell.verdict else None
    match cell.outcome:
        case Outcome.PASSED:
            return _doubt_a_pass(cell)
        case Outcome.XFAILED | Outcome.XPASSED:
            return _doubt_the_verdict(cell)
        case Outcome.FAILED if kind == "Unproven":
            return "it failed on an unproven verdict"
        case _:
            return ""


def _doubt_a_pass(cell: CellRecord) -> str:
    if cell.children:  # others judged, test by test
        bad = failing(cell.children)
        return f"it passed, and {bad[0]} inside it did not" if bad else ""
    return _doubt_the_verdict(cell) or _doubt_the_witness(cell)


def _doubt_the_witness(cell: CellRecord) -> str:
    disturbed = cell.dimensions.get("disruption", "none") != "none"
    unwitnessed = cell.witness.get("kind") in {None, "DidNot", "Undisturbed"}
    return "it passed without a witness of the disruption" if disturbed and unwitnessed else ""


def _doubt_the_verdict(cell: CellRecord) -> str:
    """Return why this outcome cannot be that of this verdict against this expectation."""
    wanted, verdict, came = cell.expectation, cell.verdict, cell.outcome
    if verdict is None or verdict.kind == "Unproven":
        return f"it {came} without a proven verdict"
    if wanted is None:
        return f"it {came} and nobody said what to expect"
    if OUTCOMES[compare(wanted, verdict)] is came:
        return ""
    said = f"{verdict.kind} ({verdict.scope})" if verdict.scope else verdict.kind
    return f"it {came} with {said} where {wanted.word} was expected"
