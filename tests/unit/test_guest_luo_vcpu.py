# SPDX-License-Identifier: Apache-2.0
"""The RFC's vCPU preservation as a hand-over ABI, on a stand-in for an L1 of its kernel."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab.config.model import Accel, Arch, GuestKind, Orphaning, VmmKind
from lab.deadline import Deadline
from lab.errors import InfraError, UnavailableError
from lab.guest.guest import GuestPlan, RunningGuest
from lab.guest.handover.table import orphaning_for
from lab.guest.handover.vmm_status import status_by_vmm
from lab.observe.identity import ProcessIdentity
from lab.observe.proof import Method
from lab.ssh.session import Result

ABI = orphaning_for(Orphaning.LUO_VCPU.value)
PLAN = GuestPlan(name="g", kind=GuestKind.LINUX, vmm=VmmKind.LABVMM, vcpus=2)
STAT = b"7 (python3) S " + b"1 " * 18 + b"55 0"


class L1:
    """An L1 of the RFC's kernel: which CPUs are preserved, which labvmm runs, and what it says."""

    peer = "a"

    def __init__(self, *, lacks: tuple[str, ...] = (), preserved: str = "") -> None:
        self.lacks, self.preserved = lacks, preserved
        self.vmm: dict[str, object] | None = None
        self.refusal = ""
        self.words: list[list[str]] = []

    def run(self, argv: list[str], **_: object) -> Result:
        """Answer a probe, a look into sysfs, or a question to the VMM."""
        self.words.append(argv)
        if argv[0] == "cat":
            return Result("cat", 0, f"{self.preserved}\n", "")
        if "probe" in argv:
            return Result("probe", 0, json.dumps({"can": not self.lacks, "lacks": self.lacks}), "")
        if self.vmm is None:
            return Result("ctl", 1, "", "no labvmm listens")
        return Result("ctl", 0, json.dumps(self.vmm), "")

    def check(self, argv: list[str], **about: object) -> str:
        """Run what must succeed."""
        return self.run(argv, **about).stdout

    def spawn(self, argv: list[str], log: str, **_: object) -> int:
        """Start the process that preserves, or the adopter."""
        self.words.append(argv)
        if "preserve" in argv:
            self.preserved = "1-2"
        elif not self.refusal:
            self.preserved = ""
            states = [{"index": n, "state": "running"} for n in range(2)]
            self.vmm = {"state": "running", "vcpus": states}
        return 7

    def get(self, path: str) -> bytes:
        """Return a process' stat, or its log."""
        if path.endswith("/stat"):
            if self.refusal:
                raise InfraError("no such file")
            return STAT
        return self.refusal.encode() or json.dumps({"pid": 7}).encode()

    @property
    def last(self) -> list[str]:
        """The words of labvmm's that came last, without the program."""
        argv = self.words[-1]
        return argv[argv.index("luo-vcpu") + 1 :] if "luo-vcpu" in argv else argv


def guest_on(l1: L1, *, lives: bool = False) -> Any:
    request = SimpleNamespace(arch=Arch.X86_64)
    host = SimpleNamespace(
        session=l1, role="a", blueprint=SimpleNamespace(accel=Accel.TCG, request=request)
    )
    gone = ProcessIdentity(7, 44, "S", 1)  # process 7 of today started later
    guest = RunningGuest(host=cast("Any", host), plan=PLAN, vmm=gone)
    return guest if not lives else SimpleNamespace(host=host, plan=PLAN, vmm_lives=True)


def by() -> Deadline:
    return Deadline.after(5)


def test_a_guest_is_preserved_over_a_kexec_and_goes_on_under_a_new_vmm() -> None:
    l1 = L1()
    guest = ABI.prepare_for_kernel_exit(guest_on(l1), by())
    where = ["--session", "lab-g", "--vmm", PLAN.socket, "--cpus", "1", "2"]
    assert l1.last[l1.last.index("preserve") :] == ["preserve", *where]
    assert [keeper.pid for keeper in guest.keepers] == [7]

    before = ABI.status(guest, by())  # now the next kernel's
    assert (before.owner, before.generation) == ("GONE", 0)
    assert [v.state for v in before.vcpus] == ["RUNNING", "RUNNING"]
    assert not before.parked

    adopted = ABI.adopt(guest, by())
    where = ["--session", "lab-g", "--socket", PLAN.socket, "--console", PLAN.console]
    assert l1.last[l1.last.index("adopt") :] == ["adopt", *where]
    assert (adopted.vmm.pid, adopted.keepers) == (7, ())
    now = ABI.status(adopted, by())
    assert (now.owner, now.not_adopted_since(before)) == ("PRESENT", "")


def test_a_kernel_without_it_is_named_with_what_it_lacks() -> None:
    l1 = L1(lacks=("/dev/liveupdate", "KVM_CAP_CARETAKER"))
    guest = guest_on(l1)
    why = ABI.unsupported_reason(guest.host, by())
    assert why == "the kernel of a lacks /dev/liveupdate, KVM_CAP_CARETAKER"
    assert ABI.prepare_for_kernel_exit(guest, by()) is guest


def test_a_guest_that_did_not_come_over_is_nowhere() -> None:
    status = ABI.status(guest_on(L1()), by())
    assert (status.owner, status.vcpus) == ("GONE", ())


@pytest.mark.parametrize(
    ("preserved", "is_its_own"),
    [("1-2", True), ("2", True), ("0,2-3", True), ("3-4", False), ("", False), ("(null)", False)],
)
def test_only_cpus_of_its_own_count(preserved: str, *, is_its_own: bool) -> None:
    assert bool(ABI.status(guest_on(L1(preserved=preserved)), by()).vcpus) is is_its_own


def test_an_adopter_that_ends_is_an_error_with_its_reason() -> None:
    l1 = L1(preserved="1-2")
    l1.refusal = "labvmm luo-vcpu: the kernel before this one left no session 'lab-g'"
    with pytest.raises(InfraError, match=r"adopter of g ended at once: .* left no session"):
        ABI.adopt(guest_on(l1), by())


def test_under_one_kernel_it_does_not_leave_its_vmm() -> None:
    with pytest.raises(UnavailableError, match="only for a kexec"):
        ABI.release(guest_on(L1()), by())


def test_l0_claims_nothing_of_it() -> None:
    assert ABI.verify_from_l0(guest_on(L1()), {0: 4096}, by()).method is Method.NONE


def test_a_vmm_that_lives_and_is_silent_is_an_error() -> None:
    with pytest.raises(InfraError, match="lives, but gives no status: no labvmm listens"):
        status_by_vmm(guest_on(L1(), lives=True), by())
