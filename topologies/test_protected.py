# SPDX-License-Identifier: Apache-2.0
"""What a host in pKVM's protected mode can see of its guests, and what it may not do at all.

Source: Documentation/virt/kvm/arm/pkvm.rst of Linux 7.3. What is not protected there (registers,
DMA) is said here as it is seen.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lab.config.model import Arch, Cell, GuestKind, HostMode, KexecLoad, VmmKind
from lab.deadline import Deadline
from lab.errors import InfraError
from lab.guest.guest import Beacons, GuestPlan, RunningGuest
from lab.guest.vmms.table import driver_for
from lab.host import kexec
from lab.host.commands import labvmm
from lab.host.host import RunningHost
from lab.runner.pool import Pool

PAGE = 4096
KEPT = "/run/lab/read"
# Each a way for a host to read a guest's page; a way may cost the guest that page.
WAYS = ("load", "write", "process_vm_readv", "proc-mem")
# The kernel itself reads, through its own map of all memory.
READ_PHYSICAL = """
import os, sys
file = os.open("/dev/mem", os.O_RDONLY)
try:
    sys.stdout.write(os.pread(file, 4096, int(sys.argv[1], 16)).hex())
except OSError as e:
    sys.stdout.write(os.strerror(e.errno))
"""

Started = Callable[..., tuple[RunningGuest, Beacons]]


@pytest.fixture
def host(cells: tuple[Cell, ...], pool: Pool) -> Iterator[RunningHost]:
    """Return an arm64 host in protected mode."""
    mine = [c for c in cells if c.arch is Arch.ARM64 and c.mode is HostMode.PROTECTED]
    with pool.lease(mine[0].request) as leased:
        yield leased


@pytest.fixture
def started(host: RunningHost) -> Iterator[Started]:
    """Return a function that starts a guest, protected or not, and waits for its beacon."""
    guests: list[RunningGuest] = []

    def start(*, protected: bool) -> tuple[RunningGuest, Beacons]:
        plan = GuestPlan(
            name=f"guest-{time.monotonic_ns()}",
            kind=GuestKind.SPINNER,
            vmm=VmmKind.LABVMM,
            memory_mib=16,
            protected=protected,
        )
        guest = driver_for(plan.vmm).start(host, plan, host.by_guest())
        guests.append(guest)
        return guest, guest.beacons(host.by_guest())

    host.session.run(["rm", "-f", KEPT])
    yield start
    for guest in guests:
        guest.kill()


def read(guest: RunningGuest, beacons: Beacons, *ways: str) -> list[dict[str, Any]]:
    """Try `ways` at the page that holds the guest's canary; what was read is added to KEPT."""
    said = labvmm(
        guest.host.session,
        "probe-read", *guest.ram, "--canary", guest.plan.canary.hex(), "--keep", KEPT,
        *(word for way in ways for word in ("--by", way)),
        hex(beacons.pages[0]),
        by=guest.host.by_guest(),
    )  # fmt: skip
    tries: list[dict[str, Any]] = said["tries"]
    return tries


def status(guest: RunningGuest) -> dict[str, Any]:
    said: dict[str, Any] = labvmm(
        guest.host.session, "ctl", "--socket", guest.plan.socket, "status", by=guest.host.by_guest()
    )
    return said


def kept(host: RunningHost) -> bytes:
    """Return all bytes that any try has read."""
    return host.session.get(KEPT)


def insist_hidden(guest: RunningGuest, tries: list[dict[str, Any]]) -> None:
    """Assert SIGSEGV for a load, EFAULT or zeroes for a system call, and never the canary."""
    for one in tries:
        if one["by"] == "load":
            assert one["signal"] == "SIGSEGV", one
        else:
            assert one["errno"] in {"EFAULT", "EIO"} or one["zero"] or not one["bytes"], one
    assert guest.plan.canary not in kept(guest.host)


@pytest.mark.parametrize("way", WAYS)
def test_arm64_userland_cannot_read_a_protected_guests_page(started: Started, way: str) -> None:
    guest, beacons = started(protected=True)
    insist_hidden(guest, read(guest, beacons, way))


def test_arm64_the_same_reads_of_an_open_guest_succeed(started: Started) -> None:
    """The control; and the mutant, which must make the test above fail."""
    guest, beacons = started(protected=False)
    tries = read(guest, beacons, *WAYS)
    assert [one["canary"] for one in tries] == [True] * len(WAYS), tries
    assert guest.plan.canary in kept(guest.host)
    with pytest.raises(AssertionError):
        insist_hidden(guest, tries)


def test_arm64_a_load_costs_a_protected_guest_nothing(started: Started) -> None:
    guest, beacons = started(protected=True)
    read(guest, beacons, "load")
    assert status(guest)["state"] == "running"


@pytest.mark.parametrize("protected", [True, False], ids=["protected", "open"])
def test_arm64_the_kernel_reads_open_guests_only(started: Started, protected: bool) -> None:
    guest, beacons = started(protected=protected)
    session, by = guest.host.session, guest.host.by_guest()
    phys = guest.locate(beacons, by)[0]
    said = session.check(["python3", "-I", "-c", READ_PHYSICAL, hex(phys)], by=by)
    assert (guest.plan.canary.hex() in said) is not protected, said[:80]
    if protected:
        assert said in {"Bad address", bytes(PAGE).hex()}, said[:80]


@pytest.mark.parametrize("protected", [True, False], ids=["protected", "open"])
def test_arm64_memory_slots_of_a_guest_that_ran(started: Started, protected: bool) -> None:
    guest, _ = started(protected=protected)
    said = labvmm(
        guest.host.session,
        "ctl",
        "--socket",
        guest.plan.socket,
        "memslot",
        by=guest.host.by_guest(),
    )
    # A protected guest may be given more memory, and nothing is taken from it.
    expected = {"create": "ok", "delete": "EPERM" if protected else "ok"}
    assert said["memslot"] == expected, said


def test_arm64_registers_of_a_protected_guest(started: Started) -> None:
    """Turns green by itself with a kernel that hides them."""
    guest, _ = started(protected=True)
    driver = driver_for(guest.plan.vmm)
    driver.pause(guest, guest.host.by_guest())
    said = guest.host.session.run(
        ["python3", "-I", "/lab/labvmm.pyz", "ctl", "--socket", guest.plan.socket, "regs"]
    )
    if said.status == 0 and int(json.loads(said.stdout)["vcpus"][0]["pc"], 16):
        pytest.xfail("the host reads them: pkvm.rst of 7.3 says CPU state isolation is to come")


def test_arm64_protected_host_refuses_kexec_load(host: RunningHost) -> None:
    by = Deadline.after(host.patience.command)
    with pytest.raises(InfraError, match=r"kexec_file_load failed|Operation not permitted"):
        kexec.load(host, how=KexecLoad.FILE_LOAD, by=by)


def test_arm64_a_crash_kernel_is_accepted_and_boots_without_kvm(host: RunningHost) -> None:
    """It begins at EL1, below a hypervisor that is still there; nothing documents that."""
    by = Deadline.after(host.patience.kexec)
    loaded = kexec.load_crash(host, by=by)
    kexec.panic(host, loaded, by)
    assert "KVM is not available" in host.session.check(["dmesg"], by=by)
    assert host.session.run(["test", "-e", "/dev/kvm"], by=by).status == 1
