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

VMM, INIT = 70, 1


def stat(pid: int, start: int) -> bytes:
    fields = ["0"] * 50
    fields[17], fields[19] = "2", str(start)
    return f"{pid} (x) S {' '.join(fields[1:])}".encode()


class Host:
    """An L1 of a few files of /proc; what is not there cannot be read."""

    def __init__(self) -> None:
        self.processes = {INIT: 5, VMM: 1234}
        self.proc = True
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
