# SPDX-License-Identifier: Apache-2.0
"""A cell until it can be told: when L0 itself stood still, the whole experiment is done anew."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from lab.errors import LabError
from lab.events import Step
from lab.spec.model import Cell
from lab.stand.cell import run_cell
from lab.stand.evidence import collect_boot
from lab.stand.pool import Pool, Wish
from lab.stand.result import CellResult
from lab.stand.turn import turn
from lab.witness.verdict import Check, Survived, Unproven

TRIES = 3


def attempted(pool: Pool, cell: Cell, evidence: Path) -> tuple[CellResult, LabError | None]:
    """Run `cell` on a host of `pool`; give what came of it, and what broke, if the lab did.

    Each try is an experiment of its own, with a guest of its own; `void_tries` counts those in
    which L0 stood still, and the last one's evidence is kept.
    """
    stand = pool.stand
    result = CellResult(cell)
    for void in range(TRIES):
        result = CellResult(cell, facts={"void_tries": void})
        try:
            with ExitStack() as stack:
                with result.phase("host"):
                    stack.enter_context(turn(stand, cell))
                    try:
                        host = stack.enter_context(pool.lease(Wish.of(cell)))
                    except LabError:
                        collect_boot(evidence, pool.console)
                        raise
                run_cell(cell, host, stand.lab.watch, evidence, result)
        except LabError as e:
            return result, e
        why = _void(result)
        if why is None:
            break
        stand.sink(Step(what=f"{cell.id}: void, for this machine stood still: {why}"))
    return result, None


def _void(result: CellResult) -> str | None:
    """Say why nothing came of it by L0's fault; a guest that fared ill is never tried again."""
    match result.verdict:
        case Unproven(reason=reason, check=Check.JITTER):
            return reason
        case Survived() | Unproven(check=Check.OVERRUN):
            return result.void or None
        case _:
            return None
