# SPDX-License-Identifier: Apache-2.0
"""A suite of somebody else's with the lab's plugin: what comes of its cells is written in a script.

The plugin, its fixtures and the records are the lab's own. Only `judge_cell`, which boots machines,
is replaced: each try of a cell takes the next word of its line in the script, or its last one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.record.files import load
from lab.record.model import RunRecord

CHECKOUT = Path(__file__).parents[2]
TOML = """
state = "STATE"
[kernel.stock]
recipe = "stock"
"""
TOPOLOGY = """
name = "toy"
description = "guests that nobody boots"
[host.a]
arch = "x86_64"
[[cells]]
host = "a"
guest = ["linux", "spinner", "ticker"]
vmm = "labvmm"
disruption = "none"
expect = "survives"
tier = "ci"
[[cells]]
host = "a"
guest = "linux"
vmm = "labvmm"
disruption = "vmm-kill"
expect = "dies"
tier = "ci"
"""
CONFTEST = """
from tests.support.scripted_judge import pool, replace_the_judge
replace_the_judge()
"""
CELLS = """
from lab.testing.expected import insist_as_expected
def test_guest(cell, repeat, judged):
    insist_as_expected(judged)
"""
KILL = "x86_64-tcg-stock-linux-labvmm-vmm_kill"
LINUX, SPINNER, TICKER = (
    f"x86_64-tcg-stock-{kind}-labvmm-none" for kind in ("linux", "spinner", "ticker")
)
SCRIPT = "LAB_TEST_SCRIPT"


@dataclass(frozen=True, slots=True)
class Ran:
    """What one pytest came to.

    Attributes:
        status: Its exit status.
        said: All that it printed.
        record: The record of its run; None if it has none.
    """

    status: int
    said: str
    record: RunRecord | None

    def outcomes(self) -> dict[str, str]:
        """Return the outcome of each cell and each test beside them, by its last name."""
        assert self.record is not None, self.said
        told = {cell.key: cell.outcome.value for cell in self.record.cells}
        return told | {c.id.partition("::")[2]: c.outcome.value for c in self.record.checks}

    def tries(self, name: str) -> list[str]:
        """Return how the tries of a cell, or of a test beside them, came out."""
        assert self.record is not None, self.said
        tests = {cell.key: cell.tries for cell in self.record.cells}
        tests |= {c.id.partition("::")[2]: c.tries for c in self.record.checks}
        return [each.outcome.value for each in tests[name]]


@dataclass(frozen=True, slots=True)
class Suite:
    """A folder with a lab.toml and a suite beside its topologies."""

    folder: Path

    @classmethod
    def made(cls, folder: Path, *, beside: str = "", conftest: str = CONFTEST) -> Suite:
        """Write one.

        Args:
            folder: Where to.
            beside: The source of a module of tests beside the cells.
            conftest: What conftest.py has.
        """
        suite = folder / "suite"
        suite.mkdir()
        toml = TOML.replace("STATE", str(folder / "state"))
        (folder / "lab.toml").write_text(toml, encoding="utf-8")
        (suite / "toy.toml").write_text(TOPOLOGY, encoding="utf-8")
        (suite / "conftest.py").write_text(conftest, encoding="utf-8")
        (suite / "test_cells.py").write_text(CELLS, encoding="utf-8")
        if beside:
            (suite / "test_beside.py").write_text(beside, encoding="utf-8")
        return cls(folder)

    def ran(
        self, *options: str, script: Mapping[str, Sequence[str]] | None = None, where: str = "suite"
    ) -> Ran:
        """Run pytest over it.

        Args:
            options: What is typed beside the folder.
            script: What comes of the tries of a cell: words of `Outcome`, or "crash"; what is not
                in it passes.
            where: What of the folder to run.
        """
        count = len(list(self.folder.glob("script*.json")))
        path = self.folder / f"script{count}.json"
        path.write_text(json.dumps(dict(script or {})), encoding="utf-8")
        reports = self.folder / "reports"
        before = set(reports.glob("2*"))
        argv = [sys.executable, "-m", "pytest", where, "-q", "--lab-accel=tcg", *options]
        paths = [str(CHECKOUT), os.environ.get("PYTHONPATH", "")]
        env = {**os.environ, SCRIPT: str(path), "PYTHONPATH": os.pathsep.join(paths)}
        said = subprocess.run(
            argv, cwd=self.folder, env=env, capture_output=True, text=True, check=False, timeout=120
        )
        new = sorted(set(reports.glob("2*")) - before) or sorted(before)[-1:]
        record = load(new[-1]) if new and (new[-1] / "run.json").exists() else None
        return Ran(said.returncode, said.stdout + said.stderr, record)
