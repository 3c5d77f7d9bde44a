# SPDX-License-Identifier: Apache-2.0
"""`lab up` killed at any moment: the next commands tell of what is left, and remove exactly that.

LAB_KILLS=10 makes it ten moments. The cache must be warm, or each round builds a bit of it.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.cli.settings import Settings
from lab.deadline import Deadline, pause, until
from lab.standing.registry import StandingHosts

pytestmark = pytest.mark.vm

CHECKOUT = Path(__file__).parents[2]
TOPOLOGY = "x86_64-one-host"
_ROUNDS = int(os.environ.get("LAB_KILLS", "2"))
_LONGEST_S = 25.0  # how long a `lab up` from the cache takes on a busy machine


class Lab:
    """The command, with a state folder of its own and everything else as configured."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self._toml = folder / "lab.toml"
        named = os.environ.get("LAB_TOML")
        configured = Settings(Path(named) if named else None).path.read_text(encoding="utf-8")
        if "state" in tomllib.loads(configured):
            pytest.skip("lab.toml names a state folder, and this test wants another")
        self._toml.write_text(f'state = "{self.state}"\n{configured}', encoding="utf-8")

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Begin a command."""
        return self._begin("lab", "--lab-toml", str(self._toml), *words)

    def ladder(self, words: str) -> subprocess.Popen[str]:
        """Begin to run the cells that `words` pick out."""
        reports = self.state.parent / "reports"
        options = (f"--lab-toml={self._toml}", f"--lab-reports={reports}", "-k", words)
        return self._begin("pytest", str(CHECKOUT / "topologies"), *options)

    @staticmethod
    def _begin(module: str, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", module, *words]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, umask=0o022
        )

    def say(self, *words: str) -> tuple[int, str]:
        """Run a command to its end; give its status and all that it said."""
        with self.start(*words) as process:
            out, err = process.communicate(timeout=500)
        return process.returncode, out + err

    def runs(self) -> set[str]:
        """Name the runs that have a folder."""
        folder = self.state / "runs"
        return (
            {p.name.strip(".").partition(".")[0] for p in folder.iterdir()}
            if folder.is_dir()
            else set()
        )

    def at_work(self) -> set[str] | None:
        """Name the runs that have a machine; others' machines come and go beside."""
        return {r for r in self.runs() if any(f"lab-{r}-" in m for m in machines())} or None


@pytest.fixture(name="lab")
def a_lab_with_a_state_of_its_own() -> Iterator[Lab]:
    with tempfile.TemporaryDirectory(prefix="lab-kill-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        lab = Lab(Path(folder))
        yield lab
        lab.say("down")


def machines() -> set[str]:
    """Name the machines there are, also while nobody runs libvirt's daemon: it comes and goes."""
    kept, live = Path("/etc/libvirt/qemu"), Path("/run/libvirt/qemu")
    files = {path.stem for folder in (kept, live) for path in folder.glob("*.xml")}
    listed = subprocess.run(
        ["virsh", "-q", "list", "--all", "--name"], capture_output=True, text=True, check=False
    )
    return files | set(listed.stdout.split())


def processes_of(runs: set[str]) -> list[str]:
    """Find whoever has the name of a run's machine on its command line: QEMU, passt."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if any(f"lab-{run}-" in line for run in runs):
            found.append(line)
    return found


@pytest.mark.timeout(3000)
def test_killed_at_any_moment_leaves_only_what_down_removes(lab: Lab) -> None:
    for number in range(_ROUNDS):
        moment = random.uniform(0.3, _LONGEST_S)  # noqa: S311 - no secret
        with lab.start("up", TOPOLOGY) as process:
            pause(moment)
            finished = process.poll() is not None
            process.kill()
        runs = lab.runs()
        probe = f"lab-probe-{process.pid}"  # of a lab that was killed while it looked for KVM
        mine = (probe, *(f"lab-{run}-" for run in runs))
        left = {name for name in machines() if name.startswith(mine)}
        where = f"round {number}, killed after {moment:.1f} s, runs {runs}, left {left}"
        status, told = lab.say("status")
        assert status == 0, where
        if runs and not finished:
            assert "lab down" in told or "up for" in told, (where, told)
        others = machines() - left
        status, told = lab.say("down")
        assert status == 0, (where, told)
        assert not lab.runs(), where
        assert not left & machines(), where
        assert not processes_of(runs), where
        removed = set(re.findall(r"removed (?:machine|host \S+) \(?(lab-[\w-]+)", told))
        assert removed == left, (where, told)
        assert not removed & others, where
        assert StandingHosts(lab.state).hosts() == (), where
        again = lab.say("down")
        assert again[0] == 0, where
        assert "nothing was standing, and nothing was left behind" in again[1], where


@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop_it_cleans_up_at_once(lab: Lab, number: signal.Signals) -> None:
    with lab.start("up", TOPOLOGY) as process:
        runs = until("a machine", lab.at_work, Deadline.after(60))
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    assert f"stopped by {number.name}" in err
    assert not lab.runs()
    assert not processes_of(runs)
    assert not [name for name in machines() if any(f"lab-{run}-" in name for run in runs)]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_ladder_that_is_asked_to_stop_takes_its_host_down(
    lab: Lab, number: signal.Signals
) -> None:
    with lab.ladder("x86_64-tcg-stock-linux-qemu-none") as process:
        runs = until("a host", lab.at_work, Deadline.after(60))
        process.send_signal(number)
        out, _ = process.communicate(timeout=90)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, out
    assert not lab.runs()
    assert not processes_of(runs)
    assert not [name for name in machines() if any(f"lab-{run}-" in name for run in runs)]


@pytest.mark.timeout(600)
def test_up_is_the_same_when_it_stands_and_down_removes_it(lab: Lab) -> None:
    status, told = lab.say("up", TOPOLOGY)
    assert status == 0, told
    (run,) = lab.runs()
    assert f"lab-{run}-a" in machines()
    status, told = lab.say("up", TOPOLOGY)
    assert (status, lab.runs()) == (0, {run}), told
    assert "x86_64-one-host stands already" in told
    assert lab.say("ssh", "a", "cat", "/proc/sys/kernel/hostname") == (0, "a\n")
    assert lab.say("ssh", "a", "exit 7")[0] == 127  # a word, not a line for a shell
    assert "LAB-INIT ready" in lab.say("console", "a")[1]
    told = json.loads(lab.say("status", "--json")[1])
    assert [(h["role"], h["state"]) for h in told["standing"]] == [("a", "running")]
    status, told = lab.say("down")
    assert status == 0, told
    assert f"removed host a (lab-{run}-a," in told
    assert not lab.runs()
    assert not processes_of({run})
    assert lab.say("ssh", "a", "true")[0] == 2
