# SPDX-License-Identifier: Apache-2.0
"""A guest that becomes resident: its words are the kernel's, and what is said is read."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from lab.config.model import GuestKind, VmmKind
from lab.deadline import Deadline
from lab.guest.guest import GuestPlan, RunningGuest
from lab.guest.handover.table import orphaning_for
from lab.ssh.session import Result
from lab.vmm.arch.x86 import cpuid
from lab.vmm.commands import resident as resident_command
from lab.vmm.errors import VmmError
from lab.vmm.kvm.async_run import Policy
from lab.vmm.kvm.x86_state import Request
from lab.vmm.machine import control
from lab.vmm.machine.machine import Machine
from lab.vmm.machine.memory import RamKind
from lab.vmm.state import caretaker as resident
from lab.vmm.state import liveupdate, snapshot, vcpu_record, vm_x86
from lab.vmm.state.vcpu_record import Record

_UAPI = Path(__file__).parents[2] / "guest-images/kernels/reference/tree/include/uapi"
_FIELDS = ("regs", "sregs", "debugregs", "events", "msrs", "cpuids", "lapic", "xsave")
_LISTED = "1 held apic 1 entries 12 exit 0x60 info 0 0 rip 0x101c\n"
_PARKED = "2 parked apic 2 entries 3 exit 0x7b info 0x3f80208 0x1000 rip 0x2000\n"


@pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc")
def test_structures_and_requests_are_those_of_the_uapi_headers(tmp_path: Path) -> None:
    wanted = {
        "sizeof(struct caretaker_record)": ctypes.sizeof(Record),
        "sizeof(struct caretaker_reside)": ctypes.sizeof(resident.Reside),
        "sizeof(struct caretaker_state)": ctypes.sizeof(resident.State),
        "offsetof(struct caretaker_reside, members)": resident.Reside.members.offset,
        **{f"offsetof(struct caretaker_record, {f})": getattr(Record, f).offset for f in _FIELDS},
        **{name: request.value for name, request in resident.Request.__members__.items()},
        **{name: request.value for name, request in Request.__members__.items()},
    }
    checks = "\n".join(f'_Static_assert({what} == {n}, "{n}");' for what, n in wanted.items())
    source = tmp_path / "check.c"
    source.write_text(f"#include <stddef.h>\n#include <linux/caretaker.h>\n{checks}\n")
    subprocess.run(["gcc", f"-I{_UAPI}", "-fsyntax-only", source], check=True)


def test_a_record_of_another_version_is_refused() -> None:
    one = Record(magic=vcpu_record.MAGIC, version=vcpu_record.VERSION, ncpuids=3)
    assert vcpu_record.parse(bytes(one)).ncpuids == 3
    one.version += 1
    with pytest.raises(VmmError, match="version 2; this labvmm has 1"):
        vcpu_record.parse(bytes(one))
    with pytest.raises(VmmError, match="has 4 bytes"):
        vcpu_record.parse(b"abcd")


def _described(**other: object) -> int:
    said = {
        "magic": vm_x86.MAGIC,
        "version": vm_x86.VERSION,
        "vcpus": 2,
        "serial": "AAE=",
        "irqchips": ["AA==", "AQ==", "Ag=="],
        "pit": "AA==",
        "clock_ns": 5,
        "clock_tsc": 7,
        "tsc_khz": 1000,
        "ram": "gmem",
        "orphan": "park",
    }
    return liveupdate.in_memfd({**said, **other}, "given")


def test_a_preserved_guest_is_read_as_it_was() -> None:
    found = vm_x86.read(_described())
    assert (found.vcpus, bytes(found.serial)) == (2, b"\0\1")
    assert found.irqchips == (b"\0", b"\1", b"\2")
    assert (found.clock_ns, found.clock_tsc, found.tsc_khz) == (5, 7, 1000)
    assert (found.ram, found.orphan) == (RamKind.GMEM, Policy.PARK)
    assert vm_x86.read(_described(orphan=None)).orphan is None


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"version": 9}, "handed over by version 9, not 2"),
        ({"vcpus": "many"}, "no guest's state: ValueError"),
        ({"pit": "?"}, "no guest's state: Error"),
        ({"ram": "disk"}, "no guest's state: ValueError"),
        ({"orphan": "burn"}, "no guest's state: KeyError"),
    ],
)
def test_a_guest_that_is_not_understood_is_refused(other: dict[str, object], why: str) -> None:
    with pytest.raises(VmmError, match=why):
        vm_x86.read(_described(**other))


def test_what_is_no_description_is_refused() -> None:
    fd = os.memfd_create("none")
    os.write(fd, json.dumps({"magic": "x"}).encode())
    with pytest.raises(VmmError, match="no guest's state: KeyError"):
        vm_x86.read(fd)


def test_a_clock_is_not_put_if_the_tsc_fell_back() -> None:
    with pytest.raises(VmmError, match="fell back by 1 over"):
        vm_x86.put_clock(-1, vm_x86.read(_described()), 6)


def test_a_plain_guest_is_told_of_kvms_clock_and_nothing_else() -> None:
    leaves = [
        cpuid.Leaf(1, 0, 0, 5, 6, 7, 8),
        cpuid.Leaf(0x40000001, 0, 0, 0x01007EFB, 0, 0, 0),
    ]
    assert cpuid.plain(leaves) == [leaves[0], leaves[1]._replace(eax=0x0100000B)]


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (errno.ENOENT, "left no session 'mine'"),
        (errno.EINVAL, "'mine' was retrieved before: a session is retrieved once"),
        (errno.EIO, "as it came"),
    ],
)
def test_a_session_that_is_refused_says_why(
    monkeypatch: pytest.MonkeyPatch, code: int, why: str
) -> None:
    monkeypatch.setattr(liveupdate, "call", _refusing(code))
    with pytest.raises(OSError, match=why) as caught:
        liveupdate.retrieve(3, "mine")
    assert caught.value.errno == code


def test_a_vcpu_that_was_handed_over_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveupdate, "call", _refusing(errno.EALREADY))
    with pytest.raises(OSError, match="token 16 was retrieved before: a token is retrieved once"):
        liveupdate.retrieve_fd(3, 16)


def _refusing(code: int) -> Callable[..., int]:
    def refuse(*_: object) -> int:
        raise OSError(code, "as it came")

    return refuse


class _Caretaker:
    """Two vCPUs, of which the second is refused."""

    def __init__(self) -> None:
        self.stopped: list[int] = []

    def move_in(self, one: Record, *_: object) -> int:
        if one.nmsrs:
            raise OSError(errno.ENXIO, "no such CPU")
        return 70

    def status(self, fd: int) -> resident.VcpuStatus:
        return resident.VcpuStatus(
            "STOPPED" if fd in self.stopped else "RUNNING", 1, 2, "none", "0x0"
        )

    def record(self, fd: int) -> Record:
        assert fd in self.stopped
        return Record(magic=vcpu_record.MAGIC, version=vcpu_record.VERSION, entries=9)


def test_what_was_refused_in_part_is_handed_back_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    caretaker, told = _Caretaker(), []
    for name in ("move_in", "status", "record"):
        monkeypatch.setattr(resident, name, getattr(caretaker, name))
    monkeypatch.setattr(resident, "stop", caretaker.stopped.append)
    monkeypatch.setattr(control, "ask", lambda _, verb, said: told.append((verb, said["records"])))
    before = [
        Record(magic=vcpu_record.MAGIC, version=vcpu_record.VERSION, entries=n, nmsrs=n)
        for n in (0, 1)
    ]
    with Path(os.devnull).open() as ram:
        guest = resident_command.ResidentGuest(Path("vmm.sock"), ram.fileno(), [])
        with pytest.raises(OSError, match="no such CPU"):
            guest.move_in(before, [1, 2])
        assert guest.hand_back(before) == (2, 9)
        guest.stop()
    assert caretaker.stopped == [70]
    (verb, texts) = told[0]
    assert verb == "hand_back"
    assert [one.entries for one in vm_x86.parse_records(texts)] == [9, 1]


def test_as_many_cpus_as_vcpus() -> None:
    guest = resident_command.ResidentGuest(Path("vmm.sock"), -1, [])
    with pytest.raises(VmmError, match="1 vCPUs need as many --cpus, not 2"):
        guest.move_in([Record()], [1, 2])


class _Session:
    def __init__(self, listed: str, vmm: str = "") -> None:
        self.listed, self.vmm = listed, vmm

    def run(self, argv: list[str], *, by: Deadline) -> Result:
        if argv[0] == "cat":
            return Result("cat", 0 if self.listed else 1, self.listed, "")
        return Result("ctl", 0 if self.vmm else 1, self.vmm, "")


def _guest(session: _Session) -> RunningGuest:
    host = type("Host", (), {"session": session})
    plan = GuestPlan(name="g", kind=GuestKind.SPINNER, vmm=VmmKind.LABVMM)
    guest = type("Guest", (), {"host": host, "plan": plan, "vmm_lives": bool(session.vmm)})
    return cast("RunningGuest", guest)


def test_vcpus_that_the_caretaker_has_are_an_orphans() -> None:
    status = orphaning_for("resident").status(
        _guest(_Session(_LISTED + _PARKED)), Deadline.after(1)
    )
    assert (status.owner, status.generation) == ("GONE", 0)
    assert [(v.state, v.exit, v.pc) for v in status.vcpus] == [
        ("RUNNING", "0x60", "0x101c"),
        ("PAUSED", "0x7b", "0x2000"),
    ]


def test_once_it_has_a_vmm_again_it_is_adopted() -> None:
    vmm = json.dumps({"state": "running", "vcpus": [{"index": 0, "state": "running"}]})
    status = orphaning_for("resident").status(_guest(_Session("", vmm)), Deadline.after(1))
    assert (status.owner, status.generation, status.vcpus[0].state) == ("PRESENT", 1, "RUNNING")


def test_nobody_has_it() -> None:
    status = orphaning_for("resident").status(_guest(_Session("")), Deadline.after(1))
    assert (status.owner, status.vcpus) == ("GONE", ())


def test_combined_guest_with_the_caretaker_has_no_adoption_count() -> None:
    """KVM counts the adoptions of a VM from 0, and it comes into a new one."""
    status = orphaning_for("lasting").status(_guest(_Session(_LISTED)), Deadline.after(1))
    assert (status.owner, status.generation, status.vcpus[0].state) == ("GONE", -1, "RUNNING")


class _Paused:
    """A guest of which not all can be read."""

    protected = handed_over = False
    orphanable = None

    def __init__(self) -> None:
        self.story: list[str] = []
        self.vcpus = [self]

    def pause(self) -> None:
        self.story.append("pause")

    def resume(self) -> None:
        self.story.append("resume")

    def settle(self) -> None:
        raise VmmError("still has an exit to serve")


def _unreadable(_: object) -> object:
    raise OSError(errno.ENXIO, "KVM_GET_DEVICE_ATTR: No such device or address")


@pytest.mark.parametrize("away", [vm_x86.hand_over, snapshot.save])
def test_a_guest_that_cannot_be_read_runs_on(
    away: Callable[[Machine], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "_module", lambda: SimpleNamespace(save=_unreadable))
    guest = _Paused()
    with pytest.raises((VmmError, OSError), match=r"an exit to serve|KVM_GET_DEVICE_ATTR"):
        away(cast("Machine", guest))
    assert guest.story == ["pause", "resume"]
    assert not guest.handed_over
