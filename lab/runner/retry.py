# SPDX-License-Identifier: Apache-2.0
"""A cell, tried until it can be told: void tries and guests that never began are repeated."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from lab.config.model import Cell, Watch
from lab.disruption.deliver import Deed
from lab.errors import FalseStartError, InfraError, LabError
from lab.events import Step
from lab.record.critical_path import TURN
from lab.runner.cell import run_cell
from lab.runner.collect import collect_boot
from lab.runner.course import Course
from lab.runner.exclusive import turn
from lab.runner.filing import filed
from lab.runner.pool import Pool
from lab.runner.result import CellResult, RanOn

TRIES = 3
_NOTICED_S = 0.05  # less is no waiting for others


def attempted(
    pool: Pool,
    cell: Cell,
    evidence: Path,
    *,
    watch: Watch | None = None,
    words: tuple[str, ...] = (),
    deed: Deed | None = None,
) -> CellResult:
    """Run a cell on a host of a pool, until it can be told what came of it.

    Each try is an experiment of its own, with a guest of its own, and the evidence of the last one
    stays. `void_tries` counts those in which L0 stalled, and `false_starts` those in which the
    guest never began to beat: at most one, after which the host is a new one, and the first line of
    the report has it.

    Args:
        pool: Has the hosts.
        cell: What to run.
        evidence: The folder for the evidence.
        watch: How long to look, and how often; lab.toml's if None.
        words: More words for the guest's command line.
        deed: What to do instead of the cell's disruption.

    Returns:
        What came of the last try; its `broke` is what broke, if the lab did.
    """
    counts = {"void_tries": 0, "false_starts": 0}
    how = _How(watch or pool.lab_session.lab.watch, words, deed)
    while True:
        result = _tried(pool, cell, evidence, how, counts)
        if isinstance(result.broke, FalseStartError) and not counts["false_starts"]:
            counts["false_starts"] += 1
            _keep(evidence, result.broke)
            told = f"{cell.id}: a false start, tried once more: {result.broke}"
            pool.lab_session.sink(Step(what=told))
            continue
        if result.broke is not None or not (why := result.void):
            return result
        pool.lab_session.sink(Step(what=f"{cell.id}: void, for this machine stalled: {why}"))
        counts["void_tries"] += 1
        if counts["void_tries"] == TRIES:
            return result


@dataclass(frozen=True, slots=True)
class _How:
    watch: Watch
    words: tuple[str, ...]
    deed: Deed | None


def _tried(
    pool: Pool, cell: Cell, evidence: Path, how: _How, counts: Mapping[str, int]
) -> CellResult:
    """Try it once, on a leased host; one that does not come up leaves its console."""
    course = Course(facts=dict(counts))
    broke: Exception | None = None
    try:
        with ExitStack() as stack:
            began = time.monotonic()
            stack.enter_context(turn(pool.lab_session, cell))
            if (waited := time.monotonic() - began) > _NOTICED_S:
                course.phases.append((TURN, waited))
            with course.phase("host"):
                try:
                    host = stack.enter_context(pool.lease(cell.request))
                except LabError:
                    collect_boot(evidence, pool.console)
                    raise
            course.facts |= host.seen_at_boot
            since = len(host.boots) - 1
            try:
                run_cell(cell, host, how.watch, evidence, course, words=how.words, deed=how.deed)
            finally:
                boots = tuple(host.boots[since:])
                course.ran_on = RanOn(host.blueprint, boots, host.domain.errata)
    except Exception as e:  # noqa: BLE001 - also of an error in the lab, there is what it came to
        broke = e
    try:
        case = filed(evidence, cell, course)
    except InfraError as e:
        broke, case = broke or e, None
    return course.result(cell, broke, case)


def _keep(evidence: Path, why: FalseStartError) -> None:
    """Write what a guest that hung could still be asked, beside the evidence of the next try."""
    evidence.mkdir(parents=True, exist_ok=True)
    (evidence / "false-start.txt").write_text(f"{why}\n", encoding="utf-8")
