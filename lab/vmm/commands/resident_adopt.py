# SPDX-License-Identifier: Apache-2.0
"""After a kexec: a VM is made of what the kernel before left, and its vCPUs are fetched into it."""

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
from ..state.vm_x86 import Given
from . import verbs

DESCRIPTION, RAM, FIRST_VCPU = 0, 1, 16  # tokens of a session
Phase = Callable[[str], object]


class Adoption(NamedTuple):
    """What `labvmm resident adopt` was asked for."""

    session: str
    console: Path
    socket: Path
    keeper: Path | None = None


def adopt(wanted: Adoption, phase: Phase) -> Mapping[str, object]:
    """Make all of a VM first: the vCPUs stop when they are retrieved, and not before.

    Args:
        wanted: What was asked for.
        phase: Told the name of each phase that has been reached.
    """
    device = liveupdate.open_device()
    session = liveupdate.retrieve(device, wanted.session)
    phase("session")
    description = vm_x86.read(liveupdate.retrieve_fd(session, DESCRIPTION))
    if wanted.keeper and description.orphan is None:
        raise VmmError("--keeper: this guest dies with its VMM", hint="labvmm run --orphanable")
    guest = _machine(description, liveupdate.retrieve_fd(session, RAM), wanted)
    phase("memory")
    _fetch(guest, description, session)
    phase("vcpus")
    if wanted.keeper:
        control.ask(wanted.keeper, "deposit", handover.describe(guest), guest.fds())
    liveupdate.finish(session)
    os.close(device)
    control.remove_stale(wanted.socket)
    return verbs.live(guest, wanted.socket)


def _machine(description: Given, ram_fd: int, wanted: Adoption) -> Machine:
    device = kvm.open_device()
    vm = call(device, kvm.Request.KVM_CREATE_VM, 0)
    frame = Frame(
        wanted.console,
        description.vcpus,
        orphan=description.orphan,
        keeper=wanted.keeper,
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


def _fetch(guest: Machine, description: Given, session: int) -> None:
    tsc = 0
    for n, vcpu in enumerate(guest.vcpus):
        one = caretaker.record(liveupdate.retrieve_fd(session, FIRST_VCPU + n))
        exit_code, pc = f"{one.exit_code:#x}", hex(one.regs.rip)
        say({"vcpu": n, "exit": exit_code, "entries": one.entries, "pc": pc})
        vcpu_record.put(vcpu.fd, one)
        tsc = vcpu_record.host_tsc(vcpu.fd, one)
    vm_x86.put_clock(guest.vm, description, tsc)
