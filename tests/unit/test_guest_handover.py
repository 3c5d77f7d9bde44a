# SPDX-License-Identifier: Apache-2.0
"""Orphaning adapters: what a kernel says is read as it is; what cannot be done is said so."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab.config.model import Accel, Orphaning
from lab.deadline import Deadline
from lab.errors import ConfigError, InfraError, UnavailableError
from lab.guest.guest import RunningGuest
from lab.guest.handover.kvm_async import status_of
from lab.guest.handover.launch import ready
from lab.guest.handover.table import orphaning_for
from lab.host.host import RunningHost
from lab.observe.proof import Method, Proof
from lab.ssh.session import Result

SAID: dict[str, Any] = {
    "owner": "GONE",
    "policy": "run",
    "generation": 3,
    "console_at": 10,
    "vcpus": [
        {
            "index": 0,
            "state": "PAUSED",
            "exit": "IO",
            "error": 0,
            "pc": "0x1000",
            "exit_seq": 5,
            "served": 4,
        },
        {
            "index": 1,
            "state": "RUNNING",
            "exit": "INTR",
            "error": 0,
            "pc": None,
            "exit_seq": 2,
            "served": 2,
        },
    ],
}
ORPHANING = ("none", *(abi.value for abi in Orphaning))
NOBODY = cast("RunningGuest", None)


def test_what_kvm_says_of_an_orphan_is_read() -> None:
    status = status_of(SAID)
    assert (status.owner, status.policy, status.generation) == ("GONE", "run", 3)
    assert status.vcpus[0].pc == "0x1000"
    assert (status.vcpus[0].exit_seq, status.vcpus[0].served) == (5, 4)


def test_a_guest_is_parked_when_none_of_its_vcpus_runs() -> None:
    assert not status_of(SAID).parked
    assert status_of({**SAID, "vcpus": SAID["vcpus"][:1]}).parked


def test_without_an_abi_nothing_can_be_adopted() -> None:
    none = orphaning_for("none")
    by = Deadline.after(1)
    for deed in (none.release, none.status, none.adopt):
        with pytest.raises(UnavailableError, match="cannot hand a guest to a new process"):
            deed(NOBODY, by)


@pytest.mark.parametrize("accel", [Accel.KVM, Accel.TCG])
@pytest.mark.parametrize("name", ORPHANING)
def test_what_l0_cannot_see_is_never_called_right(name: str, accel: Accel) -> None:
    """A caretaker that is silent is asked; no way says nothing and calls that proven."""
    session = SimpleNamespace(run=lambda *_, **__: Result("cat", 1, "", ""), peer="a")
    host = SimpleNamespace(session=session, blueprint=SimpleNamespace(accel=accel), domain=None)
    guest: Any = SimpleNamespace(host=host)
    strategy = orphaning_for(name)
    if name.startswith("resident") and accel is Accel.TCG:
        session.check = _refuse
        with pytest.raises(InfraError, match="no caretaker"):
            strategy.verify_from_l0(guest, {0: 4096}, Deadline.after(1))
        return
    proof = strategy.verify_from_l0(guest, {0: 4096}, Deadline.after(1))
    assert (proof.method, proof.right, proof.fault) == (Method.NONE, None, "")
    assert proof.seen


def _refuse(*_: object, **__: object) -> str:
    raise InfraError("no caretaker here")


@pytest.mark.parametrize(
    ("method", "seen", "right"),
    [(Method.NONE, "", None), (Method.NONE, "all well", True), (Method.SVM_STATE, "well", None)],
)
def test_a_proof_claims_no_more_than_its_method_can(
    method: Method, seen: str, right: bool | None
) -> None:
    with pytest.raises(ValueError, match="no proof by method"):
        Proof(method, seen, right=right)


def test_an_abi_that_nobody_wrote_is_told_which_there_are() -> None:
    with pytest.raises(ConfigError, match="'luo' is known") as e:
        orphaning_for("luo")
    assert (
        e.value.hint == "there are: none, async, resident, resident-unpreserved, luo-vcpu, lasting"
    )


class Session:
    """An L1 in which process 7 was started, and what it has written so far at each look."""

    peer = "a"

    def __init__(self, *logs: str, lives: bool = True) -> None:
        self.logs, self.lives = list(logs), lives

    def spawn(self, argv: list[str], log: str, *, by: Deadline) -> int:
        """Start nothing."""
        return 7

    def get(self, path: str) -> bytes:
        """Return a process' stat, or its log."""
        if not path.endswith("/stat"):
            return (self.logs.pop(0) if len(self.logs) > 1 else self.logs[0]).encode()
        if not self.lives:
            raise InfraError("no such file")
        return b"7 (sh) S " + b"1 " * 18 + b"55 0"


def ready_after(session: Session) -> int:
    host = cast("RunningHost", type("Host", (), {"session": session}))
    return ready(host, ["adopt"], "log", "the adopter", Deadline.after(5)).pid


def test_a_labvmm_is_ready_when_it_has_said_so_itself() -> None:
    another, mine = '{"state": "running", "pid": 6}', '{"state": "running", "pid": 7}'
    session = Session("", another, f"{another}\n{mine[:9]}", f"{another}\n{mine}\n")
    assert ready_after(session) == 7
    assert len(session.logs) == 1


def test_a_labvmm_that_ended_is_told_with_its_reason() -> None:
    with pytest.raises(InfraError, match="the adopter ended at once: labvmm adopt: no"):
        ready_after(Session("labvmm adopt: no\n", lives=False))
