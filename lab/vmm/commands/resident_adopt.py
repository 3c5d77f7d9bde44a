# SPDX-License-Identifier: Apache-2.0
"""After a kexec: makes a VM of what was preserved, and retrieves its vCPUs into it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from ..cli import say
from ..errors import VmmError
from ..kvm import common as kvm
from ..kvm.ioctl import call
from ..machine import control, memory
from ..machine.create import Frame, assemble
from ..machine.driver import Driver
from ..machine.machine import Machine
from ..machine.memory import Ram
from ..state import caretaker, handover, liveupdate, vcpu_record, vm_x86
from ..state.vm_x86 import VmState
from . import verbs

DESCRIPTION, RAM, FIRST_VCPU = 0, 1, 16  # tokens of a session
Phase = Callable[[str], object]


class Adoption(NamedTuple):
    """The options of `labvmm resident adopt`."""

    session: str
    console: Path
    socket: Path
    keeper: Path | None = None


def adopt(options: Adoption, phase: Phase) -> Mapping[str, object]:
    """Make all of a VM first: the vCPUs stop when they are retrieved, and not before.

    Args:
        options: Session, console and sockets.
        phase: Called with the name of each phase that has been reached.

    Returns:
        The command's answer, when the guest has ended.

    Raises:
        VmmError: A keeper was named for a guest that dies with its VMM.
    """
    device = liveupdate.open_device()
    session = liveupdate.retrieve(device, options.session)
    phase("session")
    description = vm_x86.read(liveupdate.retrieve_fd(session, DESCRIPTION))
    if options.keeper and description.orphan is None:
        raise VmmError("--keeper: this guest dies with its VMM", hint="labvmm run --orphanable")
    guest = _machine(description, liveupdate.retrieve_fd(session, RAM), options)
    phase("memory")
    _fetch(guest, description, session)
    phase("vcpus")
    if options.keeper:
        control.ask(options.keeper, "deposit", handover.describe(guest), guest.fds())
    liveupdate.finish(session)
    os.close(device)
    control.remove_stale(options.socket)
    return verbs.live(guest, options.socket)


def _machine(description: VmState, ram_fd: int, options: Adoption) -> Machine:
    device = kvm.open_device()
    vm = call(device, kvm.Request.KVM_CREATE_VM, 0)
    frame = Frame(
        options.console,
        description.vcpus,
        orphan=description.orphan,
        keeper=options.keeper,
        serial=bytes(description.serial),
    )

    def furnish(driver: Driver) -> tuple[Ram, list[int]]:
        ram = memory.mapped(description.ram, ram_fd, os.fstat(ram_fd).st_size)
        memory.attach(vm, ram)
        driver.prepare_vm()
        vm_x86.put_devices(vm, description)
        fds = [call(vm, kvm.Request.KVM_CREATE_VCPU, n) for n in range(description.vcpus)]
        return ram, fds

    return assemble(device, vm, frame, furnish)


def _fetch(guest: Machine, description: VmState, session: int) -> None:
    tsc = 0
    for n, vcpu in enumerate(guest.vcpus):
        one = caretaker.record(liveupdate.retrieve_fd(session, FIRST_VCPU + n))
        exit_code, pc = f"{one.exit_code:#x}", hex(one.regs.rip)
        say({"vcpu": n, "exit": exit_code, "entries": one.entries, "pc": pc})
        vcpu_record.restore(vcpu.fd, one)
        tsc = vcpu_record.host_tsc(vcpu.fd, one)
    vm_x86.put_clock(guest.vm, description, tsc)
