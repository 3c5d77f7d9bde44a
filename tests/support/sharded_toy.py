# SPDX-License-Identifier: Apache-2.0
"""A ladder of talk that is run whole, and in shards: what came of a cell is told by its id."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from lab import data
from lab.record.files import load
from lab.record.model import RunRecord

_LAB = """
state = "{state}"
[kernel.stock]
recipe = "stock"
[kernel.reference]
recipe = "reference"
"""
_TOPOLOGY = """
name = "toy"
description = "guests, what ends them, and what they outlive"
[host.a]
arch = "x86_64"
[host.b]
arch = "x86_64"
kernel = "reference"
[[cells]]
host = "a"
guest = ["linux", "spinner", "ticker"]
vmm = "labvmm"
disruption = "none"
expect = "survives"
tier = "ci"
[[cells]]
host = "a"
guest = ["linux", "spinner"]
vmm = "labvmm"
disruption = ["vmm-kill", "vmm-segv"]
expect = "dies"
tier = "ci"
[[cells]]
host = "b"
guest = ["linux", "spinner"]
vmm = "labvmm"
disruption = ["vmm-kill", "vmm-segv"]
options = {orphaning = "async"}
expect = "survives"
tier = "ci"
"""
# What 'judged' would write, with evidence. Outcomes of all kinds, and nothing that differs by run.
_CONFTEST = """
import os
import random
import pytest
from lab.record import shards
from lab.record.model import CellRecord, EnvironmentRecord, KernelRecord, VerdictRecord
from lab.record.plan import planned
from lab.verify.plain_files import digests_in

def pytest_collection_modifyitems(items):
    if seed := os.environ.get("TOY_SHUFFLED_BY"):
        random.Random(seed).shuffle(items)


DIES = {"dies": "Lost", "survives": "Survived"}
KERNEL = KernelRecord(release="7.1", build_id="b1", digest="d1")


@pytest.fixture
def said(cell, repeat, pytestconfig):
    plan = planned(cell, repeat=repeat)
    run = pytestconfig.pluginmanager.getplugin("lab-run")
    kind = DIES[plan.expectation.kind]
    outcome = "passed"
    if "spinner" in cell.id and "segv-async" in cell.id:
        kind, outcome = "Lost", "failed"
    if "ticker" in cell.id and repeat == 2:
        kind, outcome = "Unproven", "error"
    verdict = VerdictRecord(kind=kind, reason="so", scope="running", figures={"check": "silence"})
    fields = {name: getattr(plan, name) for name in type(plan).model_fields}
    evidence = shards.free_evidence(run.folder, plan.key)
    (run.folder / evidence).mkdir()
    (run.folder / evidence / "console.log").write_text(f"the console of {plan.key}")
    record = CellRecord(
        **fields, outcome=outcome, verdict=verdict, witness={"kind": "Happened"},
        evidence=evidence, digests=digests_in(run.folder / evidence),
    )
    shards.write_cell(run.folder, record)
    seen = EnvironmentRecord(kernels={"stock x86_64": KERNEL}, qemu="10.0.2")
    shards.note_environment(run.folder, seen, worker=run.worker_id)
"""
_CELLS = "def test_guest(cell, repeat, said): pass\n"
_BESIDE = """
from lab.testing.unavailable import unavailable_here

def test_one(): pass
def test_two(): assert 1 + 1 == 3, "so it was told"
def test_three(): unavailable_here("no SMM", saw="flags: none")
"""


class Toy:
    """A folder with such a ladder.

    Attributes:
        folder: The folder.
        reports: Where its runs are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reports = folder / "reports"
        topologies = folder / "topologies"
        topologies.mkdir(parents=True)
        files = {
            folder / "lab.toml": _LAB.format(state=folder / "state"),
            topologies / "toy.toml": _TOPOLOGY,
            topologies / "conftest.py": _CONFTEST,
            topologies / "test_cells.py": _CELLS,
            topologies / "test_beside.py": _BESIDE,
        }
        for path, text in files.items():
            path.write_text(text, encoding="utf-8")

    def pytest(self, *options: str) -> tuple[int, str]:
        """Run its ladder; return the exit status and what was said."""
        said = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "topologies", "-q", "-p", "no:cacheprovider"),
                *("-p", "no:randomly"),  # one order in all shards is what they are cut by
                *("--lab-reports=reports", "--lab-accel=tcg", "--lab-repeat=2", *options),
            ],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(data.ROOT)},
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
        )
        return said.returncode, said.stdout + said.stderr

    def run(self, run_id: str, *options: str) -> Path:
        """Run its ladder; return the folder of the run."""
        _, said = self.pytest(f"--lab-run-id={run_id}", *options)
        found = next(self.reports.glob(f"2*-{run_id}"), None)
        assert found is not None, said
        return found

    def shards(self, of: int) -> list[Path]:
        """Run its ladder in shards; return their folders, in order."""
        return [self.run(f"shard{n}", f"--lab-shard={n}/{of}") for n in range(1, of + 1)]


def without_times(record: RunRecord) -> RunRecord:
    """Return a record without what differs from run to run: names, times, how it was typed."""
    timeless = {"duration_s": 0.0, "turn": None}
    checks = tuple(check.model_copy(update=timeless) for check in record.checks)
    cells = tuple(cell.model_copy(update={"turn": None}) for cell in record.cells)
    same = {
        "run_id": "same",
        "started": record.started.replace(year=2026, month=1, day=1, hour=0, minute=0, second=0),
        "ended": None,
        "command_line": (),
        "cells": cells,
        "checks": checks,
        "merged_from": (),
    }
    return record.model_copy(update=same)


def record_of(folder: Path) -> RunRecord:
    """Return the record of a run."""
    return load(folder)
