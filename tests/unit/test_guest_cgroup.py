# SPDX-License-Identifier: Apache-2.0
"""A VMM is in a cgroup of its own, which shows what has memory of its own and lives."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab.config.model import GuestKind, VmmKind
from lab.deadline import Deadline
from lab.errors import InfraError
from lab.guest import cgroup, start
from lab.guest.cgroup import cgroup_of, entering, kill_all, processes_in
from lab.guest.guest import GuestPlan, RunningGuest
from lab.guest.handover.launch import ready
from lab.observe.identity import ProcessIdentity
from lab.ssh.session import Result, Session
from tests.support.sshd import serving


@pytest.fixture
def session() -> Iterator[Session]:
    with serving() as served, served.session() as opened:
        yield opened


@pytest.fixture
def group(tmp_path: Path) -> Path:
    (tmp_path / "cgroup.procs").write_text("")
    return tmp_path


def listed(session: Session, group: Path) -> tuple[str, ...]:
    return processes_in(session, str(group), Deadline.after(10))


def test_a_process_is_named_and_one_that_has_ended_is_not(session: Session, group: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    (group / "cgroup.procs").write_text(f"{ended.pid}\n{os.getpid()}\n")
    (one,) = listed(session, group)
    assert one.startswith(f"{os.getpid()} (")
    assert one.endswith(")")


def test_what_has_no_memory_of_its_own_is_no_process(session: Session, group: Path) -> None:
    zombie = subprocess.Popen(["true"])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    (group / "cgroup.procs").write_text(f"{zombie.pid}\n")
    assert listed(session, group) == ()
    zombie.wait()


def test_an_empty_cgroup_has_none(session: Session, group: Path) -> None:
    assert listed(session, group) == ()


def test_a_cgroup_that_is_gone_is_not_an_empty_one(session: Session, group: Path) -> None:
    with pytest.raises(InfraError, match=r"cannot be read: .*No such file"):
        listed(session, group / "gone")


def test_all_of_a_cgroup_is_killed_by_its_own_switch(session: Session, group: Path) -> None:
    kill_all(session, str(group), Deadline.after(10))
    assert (group / "cgroup.kill").read_text() == "1\n"
    kill_all(session, str(group / "gone"), Deadline.after(10))
    assert not (group / "gone").exists()


def test_a_vmm_is_found_in_the_cgroup_of_its_pid(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    at = str(tmp_path / "lab-vmm-{}")
    script = cgroup._ENTER.replace(cgroup_of(0)[: -len("0")], at.format(""))
    monkeypatch.setattr(cgroup, "_ENTER", script)
    argv = entering(["sh", "-c", "echo $$ $0", "a word"])
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split(maxsplit=1)
    assert said[1] == "a word\n"
    assert (tmp_path / f"lab-vmm-{said[0]}" / "cgroup.procs").read_text() == f"{said[0]}\n"


def test_a_vmm_that_got_no_cgroup_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "_ENTER", cgroup._ENTER.replace("/sys/fs/cgroup", "/proc/none"))
    done = subprocess.run(entering(["echo", "ran"]), capture_output=True, text=True, check=False)
    assert (done.returncode != 0, done.stdout) == (True, "")


def test_an_adopter_is_in_a_cgroup_of_its_own() -> None:
    class StartedError(Exception):
        pass

    def spawn(argv: list[str], _log: str, **_: object) -> int:
        assert argv == entering(["adopt"])
        raise StartedError

    host: Any = SimpleNamespace(session=SimpleNamespace(spawn=spawn))
    with pytest.raises(StartedError):
        ready(host, ["adopt"], "log", "the adopter", Deadline.after(1))


class Vmms:
    """A session with an L1 that notes what is run, and whose VMM leaves a process for a while."""

    peer = "L1"

    def __init__(self) -> None:
        self.ran: list[list[str]] = []
        self.left = ["71 (helper) S " + " ".join(["1"] * 40)] * 2

    def spawn(self, argv: list[str], _log: str, **_: object) -> int:
        """Note what is started."""
        self.ran.append(argv)
        return 70

    def check(self, argv: list[str], **_: object) -> str:
        """Note what is run."""
        self.ran.append(argv)
        return ""

    def run(self, argv: list[str], **_: object) -> Result:
        """Note what is run, and show the cgroup."""
        self.ran.append(argv)
        return Result("", 0, self.left.pop() if self.left else "", "")

    def get(self, path: str) -> bytes:
        """Show the VMM until something is run."""
        if self.ran:
            raise InfraError(f"{path}: no such file")
        return f"70 (vmm) S {' '.join(['1'] * 40)}".encode()


def vmm_of(session: Vmms) -> RunningGuest:
    host: Any = SimpleNamespace(session=session, by_guest=lambda: Deadline.after(10))
    plan = GuestPlan(name="g", kind=GuestKind.SPINNER, vmm=VmmKind.LABVMM)
    return RunningGuest(host, plan, ProcessIdentity(70, 1, "S", 1))


def test_a_vmm_is_started_in_a_cgroup_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    session = Vmms()
    guest = vmm_of(session)
    monkeypatch.setattr(start, "process", lambda *_: guest.vmm)
    assert start.started(guest.host, guest.plan, ["vmm", "-x"], Deadline.after(10)) == guest
    assert session.ran[-1] == entering(["vmm", "-x"])


def test_a_killed_vmm_is_waited_for_with_what_it_started() -> None:
    session = Vmms()
    vmm_of(session).kill_vmm(Deadline.after(10))
    assert session.left == []


def test_what_a_vmm_started_is_killed_at_the_end_of_a_cell() -> None:
    session = Vmms()
    vmm_of(session).kill()
    assert [argv[-1] for argv in session.ran] == ["70", "/sys/fs/cgroup/lab-vmm-70"]
