# SPDX-License-Identifier: Apache-2.0
"""Makes a guest from its description: VM, RAM, devices, vCPUs."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ..devices import console as consoles
from ..devices import journal as journals
from ..errors import VmmError
from ..kvm import async_run as kvm_async
from ..kvm import common as kvm
from ..kvm.async_run import Policy
from ..kvm.ioctl import call
from . import driver as drivers
from . import memory
from .async_vcpu import AsyncVcpu
from .driver import Boot, Driver
from .exits import ExitServer
from .machine import Lasting, Machine
from .memory import Ram, RamKind
from .vcpu import Vcpu

LEAST_MIB = 2  # 1 MiB of it is below the place where payloads are loaded


class Wanted(NamedTuple):
    """What `labvmm run` was asked for; no `orphan` policy is a guest that dies with its VMM."""

    boot: Boot
    memory_mib: int
    console: Path
    ram: RamKind | None = None
    protected: bool = False
    orphan: Policy | None = None
    keeper: Path | None = None
    plain: bool = False


class Frame(NamedTuple):
    """What a machine is put together with, whether its guest is new or comes from elsewhere."""

    console: Path
    vcpus: int
    orphan: Policy | None = None
    keeper: Path | None = None
    protected: bool = False
    serial: bytes | None = None  # registers of the port of one that comes from elsewhere


Furnish = Callable[[Driver], tuple[Ram, list[int]]]


def create(wanted: Wanted) -> Machine:
    """Make a guest, ready to start.

    Raises:
        VmmError: What was asked for is wrong or impossible here.
        OSError: KVM refused; begins with the request's name.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a VMM that segfaults leaves no 1 GiB core
    device = kvm.open_device()
    vm = call(device, kvm.Request.KVM_CREATE_VM, drivers.vm_type(protected=wanted.protected))
    most = kvm.has(device, kvm.Capability.MAX_VCPUS)
    if not 1 <= wanted.boot.vcpus <= most:
        raise VmmError(f"--vcpus {wanted.boot.vcpus}: 1 to {most} are possible")
    frame = Frame(
        wanted.console,
        wanted.boot.vcpus,
        orphan=wanted.orphan,
        keeper=wanted.keeper,
        protected=wanted.protected,
    )
    return assemble(device, vm, frame, lambda driver: _furnished(vm, driver, wanted))


def assemble(device: int, vm: int, frame: Frame, furnish: Furnish) -> Machine:
    """Put a machine together in a VM that has nothing yet; `furnish` gives it RAM and vCPUs."""
    if frame.orphan is not None:
        return _orphanable(device, vm, frame, frame.orphan, furnish)
    registers = None if frame.serial is None else bytearray(frame.serial)
    driver = drivers.make(device, vm, consoles.appending(frame.console), registers)
    ram, fds = furnish(driver)
    run_size = call(device, kvm.Request.KVM_GET_VCPU_MMAP_SIZE)
    vcpus = [Vcpu(fd, index, run_size, driver.exits) for index, fd in enumerate(fds)]
    return Machine(vm, ram, driver, vcpus, console=frame.console, protected=frame.protected)


def _orphanable(device: int, vm: int, frame: Frame, policy: Policy, furnish: Furnish) -> Machine:
    kvm_async.enable(vm, policy)
    file = consoles.open_file(frame.console)
    journal = journals.create(frame.vcpus, os.fstat(file).st_size)
    if frame.serial is not None:
        journal.registers[:] = frame.serial
        journal.write()
    driver = drivers.make(device, vm, consoles.journaled(file, journal), journal.registers)
    ram, fds = furnish(driver)
    lasting = Lasting(
        ExitServer(driver.exits, journal), journal, file, policy.name.lower(), frame.keeper
    )
    run_size = call(device, kvm.Request.KVM_GET_VCPU_MMAP_SIZE)
    vcpus = [AsyncVcpu(fd, index, run_size) for index, fd in enumerate(fds)]
    for vcpu in vcpus:
        vcpu.watch = lasting.exits.watch
    return Machine(
        vm,
        ram,
        driver,
        vcpus,
        console=frame.console,
        protected=frame.protected,
        lasting=lasting,
    )


def _furnished(vm: int, driver: Driver, wanted: Wanted) -> tuple[Ram, list[int]]:
    """Give a VM its RAM, with what is to be booted in it, and make its vCPUs."""
    driver.plain = wanted.plain
    ram = _ram(vm, driver, wanted)
    memory.attach(vm, ram)
    driver.prepare_vm()
    driver.load(ram, wanted.boot)
    fds = []
    for index in range(wanted.boot.vcpus):
        fds.append(call(vm, kvm.Request.KVM_CREATE_VCPU, index))
        driver.prepare_vcpu(fds[index], index, wanted.boot.vcpus)
    return ram, fds


def _ram(vm: int, driver: Driver, wanted: Wanted) -> Ram:
    most = driver.max_memory >> 20
    if not LEAST_MIB <= wanted.memory_mib <= most:
        raise VmmError(f"--memory {wanted.memory_mib}: {LEAST_MIB} to {most} MiB are possible")
    lasts = wanted.orphan is not None and not wanted.protected
    kind = wanted.ram or (RamKind.GMEM if lasts else RamKind.MEMFD)
    if lasts and kind is not RamKind.GMEM:
        raise VmmError(f"--ram {kind.value}: a guest that may be orphaned has --ram gmem")
    size = wanted.memory_mib << 20
    ram = memory.guest_memfd(vm, size) if kind is RamKind.GMEM else memory.memfd(size)
    ram = ram._replace(base=memory.base())
    if wanted.protected:
        memory.lock_down(ram)
    return ram
