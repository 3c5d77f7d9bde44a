# SPDX-License-Identifier: Apache-2.0
"""A lab whose nights are of talk only: nothing is booted, and each cell takes a moment."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab import data
from lab.cli.settings import Settings
from lab.deadline import Deadline, until
from lab.doctor.examine import insist
from lab.errors import LabError

LAB = """
cache = "cache"
state = "state"
[libvirt]
uris = ["test:///default"]
[host]
accelerator = "tcg"
memory_mib = 64
[kernel.stock]
recipe = "stock"
[nightly]
bench = false
repeat = 2
"""

TOPOLOGY = """
name = "toy"
description = "nothing is booted"
[host.a]
arch = "x86_64"
[[cells]]
guest = ["linux", "spinner", "ticker"]
vmm = "qemu"
disruption = "none"
expect = "survives"
tier = "ci"
"""

_CELLS = """
from lab.record.model import Outcome
def test_guest(cell, judged):
    assert judged.outcome is not Outcome.ERROR, "cannot tell"
    assert judged.outcome is Outcome.PASSED
"""


BESIDE = """
import os
from pathlib import Path
def told(name):
    with Path(os.environ["NIGHT_TOLD"]).open("a") as file:
        file.write(f"{name}\\n")
def test_first():
    told("first")
def test_second():
    told("second")
    assert os.environ.get("NIGHT_BESIDE") != "wrong", "so it was told"
    assert os.environ.get("NIGHT_BESIDE") != "broken" or int("x")
"""


class Nights:
    """A lab of its own, whose cells are only talk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        topologies = folder / "topologies"
        topologies.mkdir()
        (folder / "lab.toml").write_text(LAB, encoding="utf-8")
        (topologies / "toy.toml").write_text(TOPOLOGY, encoding="utf-8")
        (topologies / "test_cells.py").write_text(_CELLS, encoding="utf-8")
        conftest = (data.ROOT / "tests" / "support" / "night_cells.py").read_text(encoding="utf-8")
        (topologies / "conftest.py").write_text(conftest, encoding="utf-8")
        self.told = folder / "told"
        self.told.touch()

    def start(self, *words: str, **env: str) -> subprocess.Popen[str]:
        """Begin a nightly."""
        command = [sys.executable, "-m", "lab", "--lab-toml", str(self.folder / "lab.toml")]
        return subprocess.Popen(
            [*command, "nightly", "--reports", str(self.folder / "reports"), *words],
            env={**os.environ, "PYTHONPATH": _path(), "NIGHT_TOLD": str(self.told), **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def night(self, *words: str, **env: str) -> tuple[int, str]:
        """Let one go to its end; give its status and what it said."""
        with self.start(*words, **env) as process:
            said, _ = process.communicate(timeout=120)
        return process.returncode, said

    @property
    def keys(self) -> list[str]:
        """All cells that were run, in order."""
        return self.told.read_text(encoding="utf-8").split()

    def until_cells(self, count: int, process: subprocess.Popen[str]) -> None:
        """Wait until so many cells have ended."""

        def enough() -> bool | None:
            assert process.poll() is None, process.communicate()
            return True if len(self.keys) >= count else None

        until(f"cell {count}", enough, Deadline.after(60), every=0.05)

    def until_free(self) -> None:
        """Wait until what a killed nightly had begun has ended."""

        def free() -> bool | None:
            lock = self.folder / "state" / "nightly.lock"
            done = subprocess.run(["flock", "-n", str(lock), "true"], check=False)
            return done.returncode == 0 or None

        until("the end of the killed one's child", free, Deadline.after(60), every=0.1)


def _path() -> str:
    return os.pathsep.join(filter(None, (str(data.ROOT), os.environ.get("PYTHONPATH", ""))))


@contextmanager
def nights_of_talk() -> Iterator[Nights]:
    """Yield such a lab, for as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="lab-night-") as folder:
        Path(folder).chmod(0o755)  # QEMU could enter it, which pytest's own it could not
        yield Nights(Path(folder))


def why_not() -> str:
    """Return why no lab can work here; "" if one can."""
    try:
        insist(Settings().lab())
    except LabError as e:
        return str(e)
    return ""
