# SPDX-License-Identifier: Apache-2.0
"""Guests that are wrong from the moment of their adoption on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lab.config.model import (
    Arch,
    Cell,
    DisruptionKind,
    GuestKind,
    HostMode,
    Options,
    Orphaning,
    OrphanPolicy,
    Watch,
)
from lab.runner.pool import Pool
from lab.runner.result import CellResult
from lab.runner.retry import attempted
from lab.verdict.verdict import Check, Lost

pytestmark = pytest.mark.tier("nightly")

# Parked from 2 to 7 s after its first beat, and for 8 s at least: a mutant turns meanwhile, and is
# seen to at the first beat after its adoption.
_PARKED_MS = 9000
_SLOWER = "beacon.period_us=4000"  # a ring of its beats lasts longer than a loaded L0 looks away
_WATCH = Watch(baseline_s=1.0, patience_s=2.0, after_s=8.0)

Tried = Callable[..., CellResult]


@pytest.fixture
def tried(cells: tuple[Cell, ...], pool: Pool, tmp_path: Path) -> Tried:
    """Return a function that has a VMM killed, and its guest adopted."""
    orphan = next(
        cell
        for cell in cells
        if (cell.arch, cell.mode, cell.disruption)
        == (Arch.X86_64, HostMode.NATIVE, DisruptionKind.VMM_KILL)
        and cell.options.orphaning is Orphaning.ASYNC
    )

    def run(policy: OrphanPolicy, *words: str) -> CellResult:
        options = Options(orphaning=Orphaning.ASYNC, policy=policy)
        changes = {"guest": GuestKind.SPINNER, "vcpus": 2, "options": options}
        cell = orphan.model_copy(update=changes)
        return attempted(pool, cell, tmp_path, watch=_WATCH, words=(_SLOWER, *words))

    return run


@pytest.mark.parametrize(
    ("mutant", "checks"),
    [
        ("chain", {Check.CHAIN}),
        ("restart", {Check.RESTART}),
        ("rewind", {Check.REWIND, Check.CHAIN}),
        ("ram", {Check.RAM}),
    ],
)
def test_a_parked_guest_that_goes_on_as_another_is_lost(
    tried: Tried, mutant: str, checks: set[Check]
) -> None:
    result = tried(OrphanPolicy.PARK, f"mutant={mutant}:{_PARKED_MS}")

    assert result.broke is None
    assert isinstance(result.verdict, Lost), result.verdict
    assert result.verdict.check in checks, result.verdict.reason
