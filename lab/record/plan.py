# SPDX-License-Identifier: Apache-2.0
"""From a cell of the ladder to its place in a record."""

from __future__ import annotations

from lab.config.matrix import dimensions
from lab.config.topology import Cell, Dies, Expectation, Parks, Survives, Unavailable, Xfail
from lab.record.model import ExpectationRecord, PlannedCell


def planned(cell: Cell, *, rerun: str = "", repeat: int = 1) -> PlannedCell:
    """Return the record of a cell that has not run yet.

    Args:
        cell: The cell.
        rerun: The command that runs it alone; empty if there is none.
        repeat: Which of its repeats, from 1.

    Returns:
        What a report shows of it until there is an outcome.
    """
    return PlannedCell(
        id=cell.id,
        repeat=repeat,
        topology=cell.topology,
        dimensions=dict(dimensions(cell)),
        tier=cell.tier,
        expectation=expected(cell.expectation),
        rerun=rerun,
    )


def expected(expectation: Expectation) -> ExpectationRecord:
    """Return an expectation in the form that a record has.

    Args:
        expectation: As the topology has it.

    Returns:
        The same, for JSON.
    """
    scope = expectation.scope
    match expectation:
        case Survives():
            return ExpectationRecord(kind="survives", scope=scope)
        case Parks():
            return ExpectationRecord(kind="parks", scope=scope)
        case Dies(by=by):
            return ExpectationRecord(kind="dies", scope=scope, by=tuple(by))
        case Xfail(reason=reason, link=link, by=by):
            return ExpectationRecord(
                kind="xfail", scope=scope, reason=reason, link=link, by=tuple(by)
            )
        case Unavailable(reason=reason, source=source):
            return ExpectationRecord(
                kind="unavailable", scope=scope, reason=reason, link=source or ""
            )
