# SPDX-License-Identifier: Apache-2.0
"""From a cell of the spec to its place in a record."""

from __future__ import annotations

from lab.config.matrix import dimensions
from lab.config.topology import Cell, Dies, Expectation, Parks, Survives, Unavailable, Xfail
from lab.record.model import ExpectationRecord, PlannedCell


def planned(cell: Cell, *, rerun: str = "", repeat: int = 1) -> PlannedCell:
    """Give what a report says of a cell before it has run."""
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
    """Give an expectation as it stands in a record."""
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
