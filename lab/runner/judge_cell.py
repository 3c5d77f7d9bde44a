# SPDX-License-Identifier: Apache-2.0
"""One turn of a cell from its expectation to its record on disk, for `lab run` and for pytest."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lab.config.model import Cell, Unavailable
from lab.errors import InfraError, LabError, UnavailableError
from lab.record import shards
from lab.record.model import CellRecord
from lab.record.plan import planned
from lab.runner.environment import environment_of
from lab.runner.host_needs import short_of
from lab.runner.lacking import lacking
from lab.runner.pool import Pool
from lab.runner.provenance import provenance_of
from lab.runner.recording import record_of, unavailable
from lab.runner.result import CellResult
from lab.runner.retry import attempted
from lab.runner.unavailable import probed
from lab.verify.plain_files import digests_in


def judge_cell(
    pool: Pool,
    cell: Cell,
    folder: Path,
    *,
    rerun: str,
    repeat: int = 1,
    worker: str = "main",
    again: bool = False,
) -> tuple[CellRecord, LabError | None]:
    """Run a cell on a host of a pool, or see by a probe that it cannot be, and write its record.

    What its topology calls unavailable, and the probe finds available, is run as any other cell.

    Args:
        pool: Has the hosts.
        cell: What to run; the verdict is compared with its own expectation.
        folder: The run's folder; evidence goes below it.
        rerun: The command that runs this cell again, for the record.
        repeat: Which repeat of this cell it is, from 1.
        worker: The worker that runs it, by name: the environment is noted under it.
        again: Whether it is retried in one sitting of its run, so that the worst try counts.

    Returns:
        The record, which is on disk; and what broke in the lab, or None.

    Raises:
        InfraError: Hosts run on another accelerator here than the cell's id names.
        Exception: An error in the lab's own code, or of a probe; the record on disk names it.
    """
    began = datetime.now(UTC)
    try:
        record, broke = _judged(pool, cell, folder, rerun=rerun, repeat=repeat)
    except Exception as e:
        result = CellResult(cell=cell, broke=e)
        broken = record_of(result, rerun=rerun, repeat=repeat)
        shards.write_cell(folder, broken, again=again, ran=(began, worker))
        raise
    if pool.lab_session.accelerators:  # else nothing was opened that there would be facts of
        shards.note_environment(folder, environment_of(pool.lab_session), worker=worker)
    shards.write_cell(folder, record, again=again, ran=(began, worker))
    if broke is not None and not isinstance(broke, LabError):
        raise broke
    return record, broke


def _judged(
    pool: Pool, cell: Cell, folder: Path, *, rerun: str, repeat: int
) -> tuple[CellRecord, Exception | None]:
    here = pool.lab_session.accelerator(cell.arch, cell.kernel).accel
    if here is not cell.accel:
        raise InfraError(
            f"{cell.id} names accelerator {cell.accel.value}, but hosts run on {here.value} here",
            hint="run it again: the probe's result is stored now, and the ids will follow it",
        )
    outfit = pool.lab_session.images.outfit(cell.kernel, cell.arch)
    if lack := lacking(cell, outfit.kernel, outfit.guest_kernel):
        asked = f"configuration and version of kernel {cell.kernel!r}"
        return unavailable(cell, lack, probe=asked, saw=lack, rerun=rerun, repeat=repeat), None
    if short := short_of(pool.lab_session, cell, outfit.words):
        why = short.why
        return unavailable(cell, why, probe=short.probe, saw=why, rerun=rerun, repeat=repeat), None
    saw = None
    if isinstance(cell.expectation, Unavailable):
        saw = probed(pool, cell, cell.expectation)
        if not saw.available:
            why = saw.why(cell.expectation)
            away = unavailable(cell, why, probe=saw.probe, saw=saw.saw, rerun=rerun, repeat=repeat)
            return away, None
    evidence = shards.free_evidence(folder, planned(cell, repeat=repeat).key)
    result = attempted(pool, cell, folder / evidence)
    if saw is not None and isinstance(result.broke, UnavailableError):
        broke = InfraError(
            f"{cell.id} is available here ({saw.probe}: {saw.saw}), and was not run: {result.broke}"
        )
        result = replace(result, broke=broke)
    more: dict[str, Any] = {}
    try:
        more["digests"] = digests_in(folder / evidence)
        if result.ran_on is not None:
            watch = pool.lab_session.lab.watch
            more["provenance"] = provenance_of(pool.lab_session, result.ran_on, watch)
    except LabError as e:
        result = replace(result, broke=result.broke or e)
    record = record_of(result, rerun=rerun, evidence=evidence, repeat=repeat)
    return record.model_copy(update=more), result.broke
