# SPDX-License-Identifier: Apache-2.0
"""How the pages write things: one word for an outcome, one way to write a duration."""

from __future__ import annotations

from lab.record.classify import Classified, Gap, Status, status_of
from lab.record.doubt import doubt
from lab.record.model import CellRecord, CheckRecord, Outcome
from lab.record.tries import flaky

FLAKY = "FLAKY"
_WORDS = {
    Status.PASSED: "PASS",
    Status.FAILED: "FAIL",
    Status.ERROR: "ERROR",
    Status.XFAIL: "XFAIL",
    Status.UNAVAILABLE: "UNAVAILABLE",
    Status.SKIPPED: "SKIPPED",
    Status.NOT_RUN: "NOT-RUN",
    Status.INTERRUPTED: "INTERRUPTED",
}


def word(test: CellRecord | CheckRecord, *, must_run: bool = False) -> str:
    """Return the outcome of a test as one word; an unexpected pass differs from other failures.

    A test that was retried, and came out in more than one way, is flaky and never a pass.

    Args:
        test: A cell or a test beside the cells.
        must_run: Whether it may not be absent.

    Returns:
        As "PASS" or "XPASS".
    """
    status = status_of(test, must_run=must_run)
    if status in {Status.FAILED, Status.ERROR} and flaky(test):
        return FLAKY
    unexpected = status is Status.FAILED and test.outcome is Outcome.XPASSED
    return "XPASS" if unexpected else _WORDS[status]


# A shape for each word, for eyes that run over a page; the word is always beside it.
_MARKS = {
    "PASS": "✓", "FAIL": "✗", "ERROR": "?", "XFAIL": "~", "XPASS": "!", FLAKY: "≈",
    "NOT-RUN": "?", "INTERRUPTED": "?",
}  # fmt: skip


def mark(outcome: str) -> str:
    """Return the sign that stands beside an outcome's word.

    Args:
        outcome: The word, as `word` returns it.

    Returns:
        One character; a hyphen for what did not run.
    """
    return _MARKS.get(outcome, "-")


def result(cell: CellRecord) -> str:
    """Return the outcome with the verdict, where there is one.

    Args:
        cell: The cell.

    Returns:
        As "PASS Survived".
    """
    return f"{word(cell)} {cell.verdict.kind}" if cell.verdict else word(cell)


def cause(cell: CellRecord) -> str:
    """Return why a cell came out as it did.

    Args:
        cell: The cell.

    Returns:
        A doubt in its evidence, if any; then the first cause, or else the verdict's or the
        expectation's reason. "" if there is nothing to explain.
    """
    said = cell.first_cause or (cell.verdict.reason if cell.verdict else "")
    if not said and cell.expectation:
        said = cell.expectation.reason
    return "; ".join(part for part in (doubt(cell), said) if part)


def why(each: Classified) -> str:
    """Return why a test came out as it did; of one that had to run and did not, that first.

    Args:
        each: The test, classified.

    Returns:
        A sentence; "" where there is nothing to explain.
    """
    test = each.record
    if test is None:
        return each.why
    if each.status is Status.NOT_RUN:
        said = f"it was {test.outcome}: {test.first_cause or 'no reason'}"
        return str(Gap(test.id, said))
    return cause(test) if isinstance(test, CellRecord) else test.first_cause


def milliseconds(ms: float | None) -> str:
    """Write a silence.

    Args:
        ms: Its length in milliseconds, or None.

    Returns:
        As "12.3 ms", "412 ms" or "3.41 s"; a hyphen for None.
    """
    if ms is None:
        return "-"
    if ms >= 1000:  # noqa: PLR2004 - a second
        return f"{ms / 1000:.2f} s"
    return f"{ms:.0f} ms" if ms >= 100 else f"{ms:.1f} ms"  # noqa: PLR2004 - three digits


def between(least: float | None, most: float | None) -> str:
    """Write a silence that is known within bounds.

    Args:
        least: The lower bound in milliseconds, or None.
        most: The upper bound in milliseconds, or None.

    Returns:
        As "412 ms", "at most 188 ms" or "20 to 61 ms"; a hyphen for None.
    """
    if least is None or most is None:
        return milliseconds(least)
    if least <= 0:
        return f"at most {milliseconds(most)}"
    low, high = milliseconds(least), milliseconds(most)
    if low == high or most - least < 0.05 * least:
        return low
    return f"{low} to {high}" if low[-2:] != high[-2:] else f"{low[:-3].strip()} to {high}"


def seconds(s: float) -> str:
    """Write a duration.

    Args:
        s: Its length in seconds.

    Returns:
        As "4.2 s", "3 min 07 s" or "2 h 05 min".
    """
    if s < 60:  # noqa: PLR2004 - a minute
        return f"{s:.1f} s"
    minutes, rest = divmod(round(s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
