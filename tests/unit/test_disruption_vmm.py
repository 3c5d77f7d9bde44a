# SPDX-License-Identifier: Apache-2.0
"""A VMM's death is witnessed only if it lived when it was struck, and the host shows processes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lab.config.model import GuestKind, Options, VmmKind
from lab.disruption import vmm
from lab.errors import InfraError
from lab.guest.guest import GuestPlan, RunningGuest
from lab.observe.identity import DidNot, Happened, ProcessIdentity, process_of
from lab.ssh.session import Result

VMM, INIT = 70, 1


def stat(pid: int, start: int) -> bytes:
    fields = ["0"] * 50
    fields[17], fields[19] = "2", str(start)
    return f"{pid} (x) S {' '.join(fields[1:])}".encode()


class Host:
    """An L1 of a few files of /proc; what is not there cannot be read."""

    def __init__(self) -> None:
        self.peer = "L1"
        self.processes = {INIT: 5, VMM: 1234}
        self.proc = True
        self.in_cgroup: list[str] | None = []
        self.session: Any = self
        self.patience = SimpleNamespace(command=0.3)

    def get(self, path: str) -> bytes:
        """Read a stat."""
        pid = int(path.split("/")[2])
        if not self.proc or pid not in self.processes:
            raise InfraError(f"{path}: no such file")
        return stat(pid, self.processes[pid])

    def check(self, argv: list[str], **_: object) -> str:
        """Kill the VMM, whatever was asked for."""
        self.processes.pop(VMM, None)
        return ""

    def run(self, argv: list[str], **_: object) -> Result:
        """Show the VMM's cgroup."""
        assert argv[-1] == f"/sys/fs/cgroup/lab-vmm-{VMM}"
        lines = "\n".join(self.in_cgroup or ())
        return Result("", 1 if self.in_cgroup is None else 0, lines, "no such file")


def guest_of(host: Host, was: ProcessIdentity) -> RunningGuest:
    there: Any = host
    plan = GuestPlan(name="g", kind=GuestKind.SPINNER, vmm=VmmKind.LABVMM)
    return RunningGuest(there, plan, was)


def struck(host: Host) -> Happened | DidNot:
    was = process_of(stat(VMM, 1234).decode())
    guest = guest_of(host, was)
    witness = vmm.kill(guest, SimpleNamespace(), Options()).witness
    assert isinstance(witness, Happened | DidNot)
    return witness


def test_a_vmm_that_goes_is_witnessed() -> None:
    assert isinstance(struck(Host()), Happened)


def in_cgroup(name: str, vsize: int) -> str:
    fields = ["0"] * 50
    fields[20] = str(vsize)
    return f"71 ({name}) S {' '.join(fields[1:])}"


def test_a_vmm_that_left_a_process_behind_is_not_gone() -> None:
    host = Host()
    host.in_cgroup = [in_cgroup("virtiofsd", 4096)]
    found = struck(host)
    assert isinstance(found, DidNot)
    assert found.reason.startswith(
        "the VMM, process 70, is gone, and 71 (virtiofsd) of its cgroup lives on"
    )


def test_a_thread_of_the_kernels_is_no_part_of_the_vmm() -> None:
    host = Host()
    host.in_cgroup = [in_cgroup("kvm-async (0)", 0)]
    assert isinstance(struck(host), Happened)


def test_a_cgroup_that_is_not_there_proves_nothing() -> None:
    host = Host()
    host.in_cgroup = None
    with pytest.raises(InfraError, match=r"lab-vmm-70 of L1 cannot be read: no such file"):
        struck(host)


def test_that_its_cgroup_was_empty_is_in_the_record() -> None:
    guest = guest_of(Host(), process_of(stat(VMM, 1234).decode()))
    assert vmm.kill(guest, SimpleNamespace(), Options()).facts["vmm_cgroup"] == "empty"
    host = Host()
    host.in_cgroup = [in_cgroup("virtiofsd", 4096)]
    guest = guest_of(host, process_of(stat(VMM, 1234).decode()))
    assert "vmm_cgroup" not in vmm.kill(guest, SimpleNamespace(), Options()).facts


@pytest.mark.parametrize("there", [{INIT: 5}, {INIT: 5, VMM: 99}])
def test_a_vmm_that_was_gone_already_was_not_killed(there: dict[int, int]) -> None:
    host = Host()
    host.processes = there
    found = struck(host)
    assert isinstance(found, DidNot)
    assert "gone already" in found.reason


def test_host_without_any_process_does_not_prove_one_gone() -> None:
    class Blind(Host):
        def check(self, argv: list[str], **_: object) -> str:
            self.proc = False
            return ""

    assert isinstance(struck(Blind()), DidNot)


@pytest.mark.parametrize("start", [99, None])
def test_process_with_a_reused_pid_is_not_the_stopped_vmm(
    start: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host()
    said = {"stop_ns": 1, "outer": {"ns": 2}, "start_time": start or 1234}
    if start:
        host.processes[VMM] = start
    else:
        del host.processes[VMM]
    monkeypatch.setattr(vmm, "labvmm", lambda *_, **__: said)
    was = process_of(stat(VMM, 1234).decode())
    guest = guest_of(host, was)
    found = vmm.stop_vcpus(guest, SimpleNamespace(), Options(stop_ms=250))
    assert isinstance(found.witness, DidNot)


@pytest.mark.parametrize(("events", "happened"), [({"oom_kill": 1}, True), ({}, False)])
def test_vmm_that_ended_otherwise_was_not_ended_by_the_oom_killer(
    events: dict[str, int], happened: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host()

    def starve(*_: object, **__: object) -> dict[str, dict[str, int]]:
        del host.processes[VMM]
        return {"events": events}

    monkeypatch.setattr(vmm, "labvmm", starve)
    guest = guest_of(host, process_of(stat(VMM, 1234).decode()))
    witness = vmm.oom(guest, SimpleNamespace(), Options()).witness
    assert isinstance(witness, Happened) is happened
