# SPDX-License-Identifier: Apache-2.0
"""What the outcome of a cell rests on beside its own evidence: its control, or a probe; pure.

A survival shows something only if its twin was lost in the same run. A cell that nobody could run
is unavailable only if a probe was run, and saw so.
"""

from __future__ import annotations

from collections.abc import Sequence

from lab.config.enums import DisruptionKind
from lab.record.doubt import PROBE, doubt
from lab.record.model import CellRecord, CheckRecord, Outcome, PlanRecord

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


def with_their_twins(
    checks: Sequence[CheckRecord], cells: Sequence[CellRecord], plan: PlanRecord | None
) -> tuple[CheckRecord, ...]:
    """Return the tests beside the cells; one that passed without its twin cannot be told.

    Args:
        checks: The tests as they ended.
        cells: The cells of the same run.
        plan: The run's; None for one that has none.
    """
    if plan is None:
        return tuple(checks)
    found = []
    for check in checks:
        why = _lacks_a_twin(check, checks, cells, plan)
        update = {"outcome": Outcome.ERROR, "first_cause": f"uncontrolled: it passed, but {why}"}
        found.append(check.model_copy(update=update) if why else check)
    return tuple(found)


def _lacks_a_twin(
    check: CheckRecord,
    checks: Sequence[CheckRecord],
    cells: Sequence[CellRecord],
    plan: PlanRecord,
) -> str:
    if check.outcome is not Outcome.PASSED:
        return ""
    name = plan.twins.get(check.id)
    if name is None:
        return plan.uncontrolled.get(check.id, "")
    turns = [each for each in cells if each.id == name]
    tests = [each for each in checks if each.id.partition("[")[0] == name]
    if not turns and not tests:
        return f"its twin {name} is not in this run"
    bad = [each.key for each in turns if not died(each)]
    bad += [each.id for each in tests if each.outcome is not Outcome.PASSED]
    return f"its twin {bad[0]} did not show that such a guest dies" if bad else ""


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
