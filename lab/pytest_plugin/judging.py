# SPDX-License-Identifier: Apache-2.0
"""One turn of a cell in pytest: judged, recorded, and told to pytest in its own terms."""

from __future__ import annotations

import pytest

from lab.config.model import Cell
from lab.errors import InfraError
from lab.pytest_plugin.run import Run
from lab.record.model import CellRecord, Outcome
from lab.runner.judge_cell import judge_cell
from lab.runner.pool import Pool
from lab.standing.registry import leave_standing

_WANTS_A_LOOK = frozenset({Outcome.FAILED, Outcome.ERROR, Outcome.XPASSED})


def judge_turn(
    pool: Pool, cell: Cell, request: pytest.FixtureRequest, run: Run, *, repeat: int
) -> CellRecord:
    """Run a cell, and write its record.

    What broke in the lab, or cannot be told, is raised here, so that pytest calls it an error;
    what the kernel under test did wrong is left to the test, so that it is a failure.

    Args:
        pool: The worker's hosts.
        cell: What to run.
        request: Of the test that runs it.
        run: The run that it is of.
        repeat: Which repeat of this cell it is, from 1.

    Returns:
        The record.

    Raises:
        LabError: The lab broke.
        InfraError: The verdict is Unproven.
    """
    assert run.folder is not None  # noqa: S101 - made when the cells were collected
    record, broke = judge_cell(
        pool,
        cell,
        run.folder,
        rerun=run.rerun(cell, request.path.parent),
        repeat=repeat,
        worker=run.worker_id,
        again=run.again,
    )
    if request.config.getoption("--lab-keep") == "failed" and record.outcome in _WANTS_A_LOOK:
        how = leave_standing(pool)
        if how:  # else the host was taken down already
            request.session.shouldstop = f"the host of {cell.id} is standing: {how}"
    if record.outcome in {Outcome.UNAVAILABLE, Outcome.SKIPPED}:
        pytest.skip(f"{record.outcome.value}: {record.first_cause}")
    if record.outcome is Outcome.ERROR:
        raise broke or InfraError(f"cannot tell: {record.first_cause}")
    return record
