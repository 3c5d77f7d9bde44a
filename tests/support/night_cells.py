# SPDX-License-Identifier: Apache-2.0
"""A conftest.py for tests of the nightly: cells that take a moment and need no machine."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path

import pytest

from lab.config.model import Cell, Scope
from lab.deadline import pause
from lab.pytest_plugin import run_of, sameness
from lab.record import shards
from lab.record.model import CellRecord, Provenance, VerdictRecord
from lab.record.plan import planned

_OUTCOMES = {"Survived": "passed", "Lost": "failed", "Unproven": "error"}
_PROVENANCE = Provenance(
    lab_source="", images={}, boots=(), limits={}, qemu="10.0.3", libvirt="11.3.0",
    errata="none", cpu_model="", host_cpu="", l0_kernel="",
)  # fmt: skip


def pytest_configure() -> None:
    """Have no libvirt and no image asked whether a night that goes on is the same experiment."""
    patch = pytest.MonkeyPatch()
    patch.setattr(sameness, "opened", lambda _: nullcontext())
    patch.setattr(sameness, "expected", lambda *_: _PROVENANCE)


@pytest.fixture
def judged(
    cell: Cell, repeat: int, request: pytest.FixtureRequest, pytestconfig: pytest.Config
) -> CellRecord:
    """Return what $NIGHT_VERDICT says, after a moment."""
    run = run_of(pytestconfig)
    assert run.folder is not None
    pause(float(os.environ.get("NIGHT_CELL_S", "0.3")))
    kind = os.environ.get("NIGHT_VERDICT", "Survived")
    plan = planned(cell, rerun=run.rerun(cell, request.path.parent), repeat=repeat)
    record = CellRecord.model_validate(
        {
            **plan.model_dump(),
            "outcome": _OUTCOMES[kind],
            "verdict": VerdictRecord(kind=kind, reason="so it was told", scope=Scope.RUNNING),  # type: ignore[arg-type]
            "duration_s": 2.0,
            "provenance": _PROVENANCE,
        }
    )
    shards.write_cell(run.folder, record)
    with Path(os.environ["NIGHT_TOLD"]).open("a", encoding="utf-8") as told:
        told.write(f"{record.key}\n")
    return record
