# SPDX-License-Identifier: Apache-2.0
"""What a run amounts to: who is to blame for each cell, and the exit status. No silent green."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from lab.record.expectation import OUTCOMES, compare
from lab.record.model import (
    CellRecord,
    CheckRecord,
    ChildRecord,
    Outcome,
    RunRecord,
)

AS_EXPECTED = 0
NOT_AS_EXPECTED = 1
CANNOT_TELL = 125  # what `git bisect run` takes for "skip this one"


class Standing(StrEnum):
    """Whether a cell came out as the ladder says, and if not, who is to blame."""

    EXPECTED = "as expected"
    PRODUCT = "not as expected"
    LAB = "cannot tell"
    ABSENT = "not run"


def failing(children: Iterable[ChildRecord]) -> tuple[str, ...]:
    """Name the tests inside a cell that failed; one that did not come to its end is one."""
    bad = {"not ok", "timeout", "missing"}
    return tuple(child.name for child in children if child.status in bad)


@dataclass(frozen=True, slots=True)
class Gap:
    """A cell that must be available on this machine, and was not."""

    cell_id: str
    why: str

    def __str__(self) -> str:
        return f"{self.cell_id} must be available here: {self.why}"


_PLAIN = {
    Outcome.PASSED: Standing.EXPECTED,
    Outcome.XFAILED: Standing.EXPECTED,
    Outcome.FAILED: Standing.PRODUCT,
    Outcome.XPASSED: Standing.PRODUCT,
    Outcome.ERROR: Standing.LAB,
    Outcome.UNAVAILABLE: Standing.ABSENT,
    Outcome.SKIPPED: Standing.ABSENT,
}


def standing(cell: CellRecord) -> Standing:
    """Say where a cell stands; an outcome that its evidence does not carry is ours to explain."""
    return Standing.LAB if doubt(cell) else _PLAIN[cell.outcome]


def standing_of(check: CheckRecord) -> Standing:
    """Say where a test beside the cells stands; its own word is all that there is of it."""
    return _PLAIN[check.outcome]


def doubt(cell: CellRecord) -> str:
    """Say why the outcome of a cell cannot be believed; empty when it can."""
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
    """Say why this outcome cannot be that of this verdict against this expectation."""
    wanted, verdict, came = cell.expectation, cell.verdict, cell.outcome
    if verdict is None or verdict.kind == "Unproven":
        return f"it {came} without a proven verdict"
    if wanted is None:
        return f"it {came} and nobody said what to expect"
    if OUTCOMES[compare(wanted, verdict)] is came:
        return ""
    said = f"{verdict.kind} ({verdict.scope})" if verdict.scope else verdict.kind
    return f"it {came} with {said} where {wanted.word} was expected"


def must_run_gaps(record: RunRecord, must_run: Collection[str] | None = None) -> tuple[Gap, ...]:
    """List the cells that must be available and were unavailable, skipped or missing.

    Args:
        record: The run.
        must_run: Their ids; what the record itself says when None.
    """
    absent = {Outcome.UNAVAILABLE, Outcome.SKIPPED}
    cells = {cell.id: cell for cell in record.cells}
    cells |= {cell.id: cell for cell in record.cells if cell.outcome in absent}
    gaps = []
    for cell_id in record.must_run if must_run is None else must_run:
        cell = cells.get(cell_id)
        if cell is None:
            gaps.append(Gap(cell_id, "it is missing from the run"))
        elif cell.outcome in absent:
            gaps.append(Gap(cell_id, f"it was {cell.outcome}: {cell.first_cause or 'no reason'}"))
    return tuple(gaps)


def exit_status(record: RunRecord, must_run: Collection[str] | None = None) -> int:
    """Give the exit status of a run: 1 for a proven product failure, 125 for "cannot tell"."""
    stands = Counter(standing(cell) for cell in record.cells)
    beside = Counter(standing_of(check) for check in record.checks)
    if stands[Standing.PRODUCT] or beside[Standing.PRODUCT]:
        return NOT_AS_EXPECTED
    whole = record.ended is not None and stands[Standing.EXPECTED] > 0
    if stands[Standing.LAB] or beside[Standing.LAB] or must_run_gaps(record, must_run) or not whole:
        return CANNOT_TELL
    return AS_EXPECTED


def false_starts(cell: CellRecord) -> int:
    """Count the tries of a cell in which its guest never began to beat."""
    told = cell.verdict.figures.get("false_starts", 0) if cell.verdict else 0
    return told if isinstance(told, int) else 0


def headline(record: RunRecord) -> str:
    """Say what came of the run, in one sentence."""
    stands = Counter(standing(cell) for cell in record.cells)
    word = {AS_EXPECTED: "AS EXPECTED", NOT_AS_EXPECTED: "FAILED", CANNOT_TELL: "CANNOT TELL"}
    parts = [f"{stands[Standing.EXPECTED]} of {len(record.cells)} cells as expected"]
    parts += [
        f"{stands[which]} {which}"
        for which in (Standing.PRODUCT, Standing.LAB, Standing.ABSENT)
        if stands[which]
    ]
    if record.checks:
        parts.append(_beside(record.checks))
    if late := sum(false_starts(cell) for cell in record.cells):
        parts.append(f"false starts: {late}")
    if gaps := must_run_gaps(record):
        parts.append(f"{len(gaps)} absent that must be available")
    if record.ended is None:
        parts.append("the run did not end")
    return f"{word[exit_status(record)]}: {', '.join(parts)}"


def _beside(checks: Sequence[CheckRecord]) -> str:
    stands = Counter(standing_of(check) for check in checks)
    said = f"{stands[Standing.EXPECTED]} of {len(checks)} tests beside them passed"
    words = {Standing.PRODUCT: "failed", Standing.LAB: "broke", Standing.ABSENT: "were not run"}
    troubled = [f"{stands[which]} {word}" for which, word in words.items() if stands[which]]
    return f"{said} ({', '.join(troubled)})" if troubled else said
