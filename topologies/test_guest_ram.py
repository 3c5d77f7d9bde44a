# SPDX-License-Identifier: Apache-2.0
"""A guest that verifies its RAM must not run out of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.config.model import Arch, Cell, DisruptionKind, GuestKind, VmmKind
from lab.runner.pool import Pool
from lab.runner.retry import attempted
from lab.verdict.verdict import Survived

_SMALL_MIB = 48
_WATCH_S = 20.0  # until its window of pages has slid over all that it takes


@pytest.fixture
def control(cells: tuple[Cell, ...]) -> Cell:
    """Return a control cell of the stock kernel: nothing is done to its guest."""
    return next(
        cell
        for cell in cells
        if (cell.arch, cell.kernel) == (Arch.X86_64, "stock")
        and cell.disruption is DisruptionKind.NONE
        and cell.vmm is VmmKind.LABVMM
    )


@pytest.mark.twin(itself="nothing is done to its guest")
def test_a_small_linux_guest_lives_while_its_ram_is_verified(
    control: Cell, pool: Pool, tmp_path: Path
) -> None:
    small = {"guest": GuestKind.LINUX, "memory_mib": _SMALL_MIB, "vcpus": 2}
    watch = pool.lab_session.lab.watch.model_copy(update={"after_s": _WATCH_S})
    cell = control.model_copy(update=small)

    result = attempted(pool, cell, tmp_path, watch=watch)

    assert result.broke is None
    assert isinstance(result.verdict, Survived), result.verdict
    assert result.verdict.figures.ram_mib
