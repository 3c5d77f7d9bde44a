# SPDX-License-Identifier: Apache-2.0
"""The one classification of a run's tests. No silent green.

The exit status, the terminal, JUnit, KTAP, KCIDB, the pages and the history are all made of it:
none of them decides by itself. docs/verdict.md has the table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from lab.record.doubt import PROBE, doubt
from lab.record.model import NO_RECORD, CellRecord, CheckRecord, Outcome, RunRecord
from lab.record.tries import flaky

AS_EXPECTED = 0
NOT_AS_EXPECTED = 1
CANNOT_TELL = 125  # what `git bisect run` takes for "skip this one"


class Status(StrEnum):
    """What became of a test: a cell, a test beside the cells, or the run itself."""

    PASSED = "passed"
    FAILED = "failed"  # an unexpected pass is one
    ERROR = "error"
    XFAIL = "xfail"
    UNAVAILABLE = "unavailable"
    SKIPPED = "skipped"
    NOT_RUN = "not run"  # it had to run, and was unavailable, skipped or missing
    INTERRUPTED = "interrupted"  # it was planned, and did not come to its end


class Standing(StrEnum):
    """Whether a cell came out as the ladder says; if not, which side is to blame."""

    EXPECTED = "as expected"
    PRODUCT = "not as expected"
    LAB = "cannot tell"
    ABSENT = "not run"


_STATUS = {
    Outcome.PASSED: Status.PASSED,
    Outcome.FAILED: Status.FAILED,
    Outcome.XPASSED: Status.FAILED,
    Outcome.ERROR: Status.ERROR,
    Outcome.XFAILED: Status.XFAIL,
    Outcome.UNAVAILABLE: Status.UNAVAILABLE,
    Outcome.SKIPPED: Status.SKIPPED,
}
_STANDING = {
    Status.PASSED: Standing.EXPECTED,
    Status.XFAIL: Standing.EXPECTED,
    Status.FAILED: Standing.PRODUCT,
    Status.ERROR: Standing.LAB,
    Status.INTERRUPTED: Standing.LAB,
    Status.UNAVAILABLE: Standing.ABSENT,
    Status.SKIPPED: Standing.ABSENT,
    Status.NOT_RUN: Standing.ABSENT,
}
_EXIT = {
    Status.FAILED: NOT_AS_EXPECTED,
    Status.ERROR: CANNOT_TELL,
    Status.NOT_RUN: CANNOT_TELL,
    Status.INTERRUPTED: CANNOT_TELL,
}
_AWAY = frozenset({Status.UNAVAILABLE, Status.SKIPPED})


@dataclass(frozen=True, slots=True)
class Gap:
    """A cell, or a test beside them, that had to run and did not."""

    cell_id: str
    why: str

    def __str__(self) -> str:
        return f"{self.cell_id} had to run here: {self.why}"


@dataclass(frozen=True, slots=True)
class Classified:
    """One test of a run, and what became of it.

    Attributes:
        name: A cell's key, a test's id; "run" for the run itself, "ladder" for what of it nobody
            asked for.
        status: What became of it.
        why: Why it has no record of its own; "" where it has one.
        record: Its record; None for a cell that left none, and for the run itself.
    """

    name: str
    status: Status
    why: str = ""
    record: CellRecord | CheckRecord | None = None


def status_of(test: CellRecord | CheckRecord, *, must_run: bool = False) -> Status:
    """Classify a test that has a record.

    Args:
        test: A cell, whose outcome counts only if its evidence carries it; or a test beside the
            cells, of which there is nothing but its outcome. Such a test was chosen and has to run:
            where it cannot, it says by which evidence it is unavailable; it is not skipped.
        must_run: Whether the cell may not be absent, unless a probe showed why it is.

    Returns:
        Its status.
    """
    if isinstance(test, CellRecord) and doubt(test):
        return Status.ERROR
    if isinstance(test, CheckRecord) and test.outcome is Outcome.SKIPPED:
        return Status.NOT_RUN
    if test.outcome is Outcome.ERROR and test.first_cause == NO_RECORD:
        return Status.INTERRUPTED
    status = _STATUS[test.outcome]
    absent = must_run and status in _AWAY and not _is_probed(test)
    return Status.NOT_RUN if absent else status


def _is_probed(test: CellRecord | CheckRecord) -> bool:
    """Whether it is unavailable by what was seen, and not by the word of a topology alone."""
    witness = test.witness if isinstance(test, CellRecord) else {}
    return test.outcome is Outcome.UNAVAILABLE and bool(witness.get(PROBE))


def classified(
    record: RunRecord, must_run: Collection[str] | None = None
) -> tuple[Classified, ...]:
    """Classify every test of a run, and the run itself where nothing else says what is wrong.

    Args:
        record: The run.
        must_run: Ids of the cells that may not be absent; what the record itself says when None.

    Returns:
        Cells and tests as the record has them; cells that left no record and had to; what was left
        out and had to run; the run, where it did not end, or judged nothing; the ladder, where only
        a part of it was asked for.
    """
    wanted = record.must_run if must_run is None else must_run
    there = {cell.id for cell in record.cells}
    tests: list[CellRecord | CheckRecord] = [*record.cells, *record.checks]
    found = [
        Classified(
            test.key if isinstance(test, CellRecord) else test.id,
            status_of(test, must_run=isinstance(test, CellRecord) and test.id in wanted),
            record=test,
        )
        for test in tests
    ]
    found += [
        Classified(cell_id, Status.NOT_RUN, f"{Gap(cell_id, _MISSING)}")
        for cell_id in dict.fromkeys(wanted)
        if cell_id not in there
    ]
    plan = record.plan
    if plan is not None:
        found += [
            Classified(name, Status.NOT_RUN, f"{Gap(name, why)}")
            for name, why in plan.left_out.items()
        ]
    if record.ended is None:
        found.append(Classified(RUN, Status.INTERRUPTED, "the run did not end"))
    elif not _tells(found):
        found.append(Classified(RUN, Status.NOT_RUN, "no cell was judged"))
    if plan is not None and plan.part:
        found.append(Classified(LADDER, Status.SKIPPED, plan.part))
    return tuple(found)


RUN, LADDER = "run", "ladder"
_MISSING = "it is missing from the run"


def _tells(found: Sequence[Classified]) -> bool:
    """Whether a cell was as expected, or something says already that the run is not good."""
    cells = [each for each in found if isinstance(each.record, CellRecord)]
    judged = cells or found  # of a part that has no cell, the tests tell
    expected = any(_STANDING[each.status] is Standing.EXPECTED for each in judged)
    return expected or any(each.status in _EXIT for each in found)


def standing(cell: CellRecord) -> Standing:
    """Return where a cell stands.

    Args:
        cell: One cell, or one of its repeats.

    Returns:
        Its standing; an outcome that its evidence does not carry is the lab's to explain.
    """
    return _STANDING[status_of(cell)]


def standing_of(check: CheckRecord) -> Standing:
    """Return where a test beside the cells stands.

    Args:
        check: The test.

    Returns:
        Its standing.
    """
    return _STANDING[status_of(check)]


def must_run_gaps(record: RunRecord, must_run: Collection[str] | None = None) -> tuple[Gap, ...]:
    """List what had to run and was unavailable, skipped, left out or missing.

    Args:
        record: The run.
        must_run: Their ids; what the record itself lists when None.

    Returns:
        A gap for each of them, in the order of the ids.
    """
    gaps: dict[str, Gap] = {}
    left_out = record.plan.left_out if record.plan else {}
    for each in classified(record, must_run):
        test = each.record
        if each.status is not Status.NOT_RUN or each.name == RUN:
            continue
        if test is not None:
            why = f"it was {test.outcome}: {test.first_cause or 'no reason'}"
            gaps[test.id] = Gap(test.id, why)
        else:
            gaps[each.name] = Gap(each.name, left_out.get(each.name, _MISSING))
    order = {name: n for n, name in enumerate(record.must_run if must_run is None else must_run)}
    return tuple(sorted(gaps.values(), key=lambda gap: order.get(gap.cell_id, len(order))))


def exit_status(record: RunRecord, must_run: Collection[str] | None = None) -> int:
    """Return the exit status of a run.

    Args:
        record: The run.
        must_run: Ids of the cells that may not be absent; what the record itself lists when None.

    Returns:
        1 if a test failed by fault of the product; else 125 if one cannot be told; else 0.

    Source: git-bisect(1), "Bisect run": 125 skips a commit.
    """
    came = {_EXIT.get(each.status, AS_EXPECTED) for each in classified(record, must_run)}
    return next(status for status in (NOT_AS_EXPECTED, CANNOT_TELL, AS_EXPECTED) if status in came)


def false_starts(cell: CellRecord) -> int:
    """Count the tries of a cell in which its guest never began to beat.

    Args:
        cell: The cell.

    Returns:
        How many; 0 if its figures do not tell.
    """
    told = cell.verdict.figures.get("false_starts", 0) if cell.verdict else 0
    return told if isinstance(told, int) else 0


def headline(record: RunRecord) -> str:
    """Summarize a run in one sentence.

    Args:
        record: The run.

    Returns:
        As "FAILED: 7 of 8 cells as expected, 1 not as expected".
    """
    stands = Counter(standing(cell) for cell in record.cells)
    word = {AS_EXPECTED: "AS EXPECTED", NOT_AS_EXPECTED: "FAILED", CANNOT_TELL: "CANNOT TELL"}
    part = f"{record.plan.part}; " if record.plan and record.plan.part else ""
    parts = [f"{stands[Standing.EXPECTED]} of {len(record.cells)} cells as expected"]
    parts += [
        f"{stands[which]} {which}"
        for which in (Standing.PRODUCT, Standing.LAB, Standing.ABSENT)
        if stands[which]
    ]
    if record.checks:
        parts.append(_beside(record.checks))
    tests: tuple[CellRecord | CheckRecord, ...] = (*record.cells, *record.checks)
    if both := sum(flaky(test) for test in tests):
        parts.append(f"{both} flaky: retried, and came out otherwise")
    if late := sum(false_starts(cell) for cell in record.cells):
        parts.append(f"false starts: {late}")
    if alone := sum(bool(cell.lacks) for cell in record.cells):
        parts.append(f"{alone} without a control, or a probe")
    if gaps := must_run_gaps(record):
        parts.append(f"{len(gaps)} that had to run and did not")
    parts += [each.why for each in classified(record) if each.name == RUN]
    return f"{word[exit_status(record)]}: {part}{', '.join(parts)}"


def _beside(checks: Sequence[CheckRecord]) -> str:
    stands = Counter(standing_of(check) for check in checks)
    said = f"{stands[Standing.EXPECTED]} of {len(checks)} tests beside them passed"
    words = {Standing.PRODUCT: "failed", Standing.LAB: "broke", Standing.ABSENT: "were not run"}
    troubled = [f"{stands[which]} {word}" for which, word in words.items() if stands[which]]
    return f"{said} ({', '.join(troubled)})" if troubled else said
