# SPDX-License-Identifier: Apache-2.0
"""Adoption: who is waited for, who is refused and told why; and what the kernel is asked for."""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path

import pytest

from lab.vmm.commands import adopt, verbs
from lab.vmm.devices import journal
from lab.vmm.errors import VmmError
from lab.vmm.kvm import async_run as kvm_async
from lab.vmm.kvm.async_run import Owner, Ownership, Policy
from lab.vmm.machine.vcpu import Stop
from lab.vmm.state.handover import HandOver


class Owned:
    """A VM whose last owner takes its time to be gone; another may be faster."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answers: list[int]) -> None:
        self.answers = answers
        self.generation = 4
        self.faster = False
        monkeypatch.setattr(kvm_async, "ownership", lambda _: self.said())
        monkeypatch.setattr(kvm_async, "adopt", self.adopt)

    def said(self) -> Ownership:
        """Return who has the VM."""
        return Ownership(Owner.PRESENT, Policy.RUN, self.generation)

    def adopt(self, vm: int, generation: int) -> None:
        """Answer as was planned."""
        assert generation == 4
        code = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.generation += self.faster
        if code:
            raise OSError(code, f"KVM_ADOPT: {os.strerror(code)}")


def test_an_owner_that_was_killed_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    owned = Owned(monkeypatch, [16, 16, 16, 0])
    adopt.become_owner(3, 5)
    assert owned.answers == [0]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (16, "KVM_ADOPT: Device or resource busy: its owner lives"),
        (1, "KVM_ADOPT: Operation not permitted: this user is not the guest's first owner"),
        (116, "KVM_ADOPT: Stale file handle: another labvmm adopted it first"),
        (5, "KVM_ADOPT: Input/output error: the VM is dead"),
    ],
)
def test_what_cannot_be_adopted_is_said_why(
    monkeypatch: pytest.MonkeyPatch, code: int, message: str
) -> None:
    Owned(monkeypatch, [code])
    with pytest.raises(VmmError) as e:
        adopt.become_owner(3, 0.02)
    assert str(e.value).startswith(message)


def test_the_loser_of_two_adopters_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    Owned(monkeypatch, [16]).faster = True
    with pytest.raises(VmmError, match="another labvmm adopted it first"):
        adopt.become_owner(3, 60)


def test_a_kernel_without_it_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kvm_async, "call", lambda *_: 0)
    with pytest.raises(VmmError) as e:
        kvm_async.enable(3, Policy.RUN)
    assert str(e.value) == (
        "this kernel has no KVM_CAP_ORPHAN with policy 'run' (it has none), "
        "so no guest outlives its VMM"
    )


def test_a_policy_is_asked_for_as_the_header_says(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, bytes]] = []

    def call(_: int, request: int, argument: int | ctypes.Structure = 0) -> int:
        if isinstance(argument, ctypes.Structure):
            asked.append((request, bytes(argument)))
        return 7

    monkeypatch.setattr(kvm_async, "call", call)
    kvm_async.enable(3, Policy.PARK)
    wanted = struct.pack("=IIQ", 0x4C414201, 0, 1).ljust(104, b"\0")
    assert asked == [(0x4068AEA3, wanted)]


def test_a_guest_that_lives_elsewhere_is_not_run_from_here() -> None:
    state = journal.create(1)
    state.handed_over = True
    found = HandOver(1, 8192, 0, 1 << 20, False, Path("console"), "run")
    with pytest.raises(VmmError, match="handed over to the caretaker: adopted, it would run twice"):
        adopt.assemble(found, {"state": state.fd}, Path("keeper.sock"))
    state.pages.close()
    os.close(state.fd)


@pytest.mark.parametrize(
    ("kind", "its_own"),
    [("reset", True), ("shutdown", True), ("crash", True), ("broken", False), (None, False)],
)
def test_only_what_ended_by_itself_is_dropped_by_its_keeper(
    kind: str | None, *, its_own: bool
) -> None:
    assert verbs.ended_by_itself(Stop(kind, "why") if kind else None) is its_own
