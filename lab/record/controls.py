# SPDX-License-Identifier: Apache-2.0
"""What the outcome of a cell rests on beside its own evidence: its control, or a probe; pure.

A survival shows something only if its twin was lost in the same run. A cell that nobody could run
is unavailable only if a probe was run, and saw so.
"""

from __future__ import annotations

from collections.abc import Sequence

from lab.config.enums import DisruptionKind
from lab.record.doubt import PROBE, doubt
from lab.record.model import CellRecord, Outcome, PlanRecord

_AWAY = frozenset({Outcome.UNAVAILABLE, Outcome.SKIPPED})
_HARMLESS = frozenset(kind.value for kind in DisruptionKind if not kind.takes_away)


def with_what_is_lacking(
    cells: Sequence[CellRecord], plan: PlanRecord | None
) -> tuple[CellRecord, ...]:
    """Return the cells of a run, each with what it lacks for its outcome to count.

    Args:
        cells: As they ended.
        plan: The run's; None for one that has none, whose cells stand alone.
    """
    if plan is None:
        return tuple(cells)
    found = []
    for cell in cells:
        lacks = _lacks_a_control(cell, cells, plan) or _lacks_a_probe(cell)
        found.append(cell.model_copy(update={"lacks": lacks}) if lacks else cell)
    return tuple(found)


def needs_control(cell: CellRecord) -> bool:
    """Return whether a guest outlived in a cell what takes something away from it.

    Args:
        cell: The cell; where nothing is taken away, it is a control itself.
    """
    wanted = cell.expectation
    lives = wanted is not None and wanted.kind in {"survives", "parks"}
    harmless = cell.dimensions.get("disruption", "none") in _HARMLESS
    return lives and not harmless and cell.outcome is Outcome.PASSED


def _lacks_a_control(cell: CellRecord, cells: Sequence[CellRecord], plan: PlanRecord) -> str:
    if not needs_control(cell):
        return ""
    name = plan.controls.get(cell.id, "")
    if not name:
        return "uncontrolled: it survived, and no cell of the topologies is its control"
    turns = [each for each in cells if each.id == name]
    if not turns:
        return f"uncontrolled: it survived, and its control {name} is not in this run"
    bad = [each for each in turns if not died(each)]
    if not bad:
        return ""
    said = bad[0].verdict.kind if bad[0].verdict else "no verdict"
    return f"uncontrolled: it survived, and its control {name} {bad[0].outcome} with {said}"


def died(cell: CellRecord) -> bool:
    """Return whether a cell is a control that was lost: nothing else passes by being lost.

    Args:
        cell: The cell.
    """
    lost = cell.verdict is not None and cell.verdict.kind == "Lost"
    return lost and cell.outcome is Outcome.PASSED and not doubt(cell)


def _lacks_a_probe(cell: CellRecord) -> str:
    wanted = cell.expectation
    if wanted is None or wanted.kind != "unavailable" or cell.outcome not in _AWAY:
        return ""
    return "" if cell.witness.get(PROBE) else f"it is {cell.outcome}, and no probe says why"
