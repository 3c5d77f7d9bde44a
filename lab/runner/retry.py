# SPDX-License-Identifier: Apache-2.0
"""A cell until it can be told: what L0 voided, or what never began, is done anew."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lab.config.model import Cell, Watch
from lab.disruption.deliver import Deed
from lab.errors import FalseStartError, LabError
from lab.events import Step
from lab.host.host import RunningHost
from lab.runner.cell import run_cell
from lab.runner.collect import collect_boot
from lab.runner.exclusive import turn
from lab.runner.pool import Pool
from lab.runner.result import CellResult
from lab.verdict.problem import ProblemKind
from lab.verdict.verdict import Check, Survived, Unproven

TRIES = 3


def attempted(
    pool: Pool,
    cell: Cell,
    evidence: Path,
    *,
    watch: Watch | None = None,
    words: tuple[str, ...] = (),
    deed: Deed | None = None,
) -> tuple[CellResult, LabError | None]:
    """Run `cell` on a host of `pool`; give what came of it, and what broke, if the lab did.

    Each try is an experiment of its own, with a guest of its own, and the last one's evidence is
    kept. `void_tries` counts those in which L0 stood still, and `false_starts` those in which the
    guest never began to beat: at most one, after which the host is a new one, and it is told on
    the first line of the report. `watch` is lab.toml's if not given; `words` and `deed` are for
    `run_cell`.
    """
    facts = {"void_tries": 0, "false_starts": 0}
    look = watch or pool.stand.lab.watch
    while True:
        result = CellResult(cell, facts=dict(facts))
        try:
            with _host(pool, cell, evidence, result) as host:
                run_cell(cell, host, look, evidence, result, words=words, deed=deed)
        except FalseStartError as e:
            if facts["false_starts"]:
                return result, e
            facts["false_starts"] += 1
            _keep(evidence, e)
            pool.stand.sink(Step(what=f"{cell.id}: a false start, tried once more: {e}"))
            continue
        except LabError as e:
            return result, e
        why = _void(result)
        if why is None:
            return result, None
        pool.stand.sink(Step(what=f"{cell.id}: void, for this machine stood still: {why}"))
        facts["void_tries"] += 1
        if facts["void_tries"] == TRIES:
            return result, None


@contextmanager
def _host(pool: Pool, cell: Cell, evidence: Path, result: CellResult) -> Iterator[RunningHost]:
    """Lease a host when it is this cell's turn; one that does not come up leaves its console."""
    with ExitStack() as stack:
        with result.phase("host"):
            stack.enter_context(turn(pool.stand, cell))
            try:
                host = stack.enter_context(pool.lease(cell.request))
            except LabError:
                collect_boot(evidence, pool.console)
                raise
        if host.mode_proof:
            result.facts["mode"] = host.mode_proof
        if host.domain.errata:
            result.facts["emulator"] = host.domain.errata
        yield host


def _keep(evidence: Path, why: FalseStartError) -> None:
    """Keep what a guest that hung could still be asked, beside the evidence of the next try."""
    evidence.mkdir(parents=True, exist_ok=True)
    (evidence / "false-start.txt").write_text(f"{why}\n", encoding="utf-8")


def _void(result: CellResult) -> str | None:
    """Say why nothing came of it by L0's fault; a guest that fared ill is never tried again."""
    match result.verdict:
        case Unproven(reason=reason, check=Check.JITTER):
            return reason
        case Survived() | Unproven(check=Check.OVERRUN):
            void = result.first(ProblemKind.VOID)
            return void.reason if void else None
        case _:
            return None
