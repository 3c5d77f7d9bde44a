# SPDX-License-Identifier: Apache-2.0
"""A guest that outlives its VMM under KVM, and a kexec: what its guest_memfd may have done to it.

That it lives through both is a cell of x86_64-reference.toml, and that one of which only KVM knows
is lost by kexec is another.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from lab.config.model import KexecLoad
from lab.deadline import Deadline
from lab.errors import InfraError
from lab.guest.handover.kvm_async import AsyncOrphaning
from lab.host import kexec as kexecs
from lab.runner.lab_session import LabSession
from lab.testing.resident import Resident
from lab.testing.swallowed import SwallowedHost

pytestmark = [
    pytest.mark.tier("nightly"),
    pytest.mark.arch("x86_64"),
    pytest.mark.timeout(1800),
    pytest.mark.twin("test_resident_killed.py::test_its_vmm_before_it_is_handed_over"),
]

MOVES = 20

# Retrieve the memory, and have two VMs use it, one after the other.
CLAIMED = """
import errno, os, sys
sys.path.insert(0, "/lab/labvmm.pyz")
from labvmm.commands import resident_adopt as tokens
from labvmm.kvm import common as kvm
from labvmm.kvm.ioctl import call
from labvmm.machine import memory
from labvmm.state import liveupdate as luo
session = luo.retrieve(luo.open_device(), sys.argv[1])
fd = luo.retrieve_fd(session, tokens.RAM)
ram = memory.mapped(memory.RamKind.GMEM, fd, os.fstat(fd).st_size)
device = kvm.open_device()
for vm in [call(device, kvm.Request.KVM_CREATE_VM, 0) for _ in range(2)]:
    try:
        memory.attach(vm, ram)
        print("ok")
    except OSError as e:
        print(errno.errorcode[e.errno])
"""


@pytest.fixture
def lasting(swallowed: SwallowedHost, lab_session: LabSession) -> Iterator[Resident]:
    """Return a guest that runs under KVM, and may lose its VMM and its kernel."""
    with ExitStack() as stack:
        yield Resident.start(swallowed.host, lab_session.lab.watch, stack, orphaning="lasting")


def adopted(guest: Resident) -> None:
    """Have another VMM take it from KVM."""
    guest.guest = AsyncOrphaning().adopt(guest.guest, guest.host.by_guest())


def test_guest_returns_from_the_caretaker_and_survives_vmm_kill(lasting: Resident) -> None:
    said = lasting.labvmm(*lasting.move_command("cycle", "--count", str(MOVES)))
    assert said["cycles"] == MOVES
    assert said["fds"][0] == said["fds"][1]
    lasting.insist_lives()
    lasting.kill_vmm()
    lasting.insist_lives()
    adopted(lasting)
    assert lasting.vmm_says() == "running"
    lasting.insist_lives()


def test_nobody_runs_it_twice(lasting: Resident) -> None:
    """Its VM is still there, and its keeper has all of it: who adopts that is refused."""
    keeper = lasting.make_resident()
    lasting.kill_vmm()
    with pytest.raises(InfraError, match="adopted, it would run twice"):
        adopted(lasting)
    assert lasting.vcpu_states() == ["held"]
    lasting.insist_lives()
    lasting.kill_process(keeper)  # no other process can end it
    lasting.insist_lost()


def test_its_memory_stays_where_it_is_while_it_is_preserved(lasting: Resident) -> None:
    """That the same hole can be punched else is seen by a test of orphans."""
    lasting.make_resident()
    hole = lasting.labvmm("hostile", "--keeper", lasting.guest.plan.keeper_socket, "punch-hole")
    assert hole["answers"] == {"fallocate": "EPERM"}
    lasting.insist_lives()
    lasting.cancel()
    lasting.insist_lives()


def test_its_memory_is_the_first_vms_that_wants_it(lasting: Resident) -> None:
    lasting.make_resident()
    host, by = lasting.host, Deadline.after(lasting.host.patience.kexec)
    kexecs.jump(host, kexecs.load(host, how=KexecLoad.FILE_LOAD, by=by), by)
    lasting.insist_lives()
    said = host.session.check(["python3", "-I", "-c", CLAIMED, lasting.session])
    assert said.split() == ["ok", "EINVAL"]
