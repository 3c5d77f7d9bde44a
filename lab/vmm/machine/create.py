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
from .machine import Machine, Orphanable
from .memory import Ram, RamKind
from .vcpu import Vcpu

LEAST_MIB = 2  # 1 MiB of it is below the place where payloads are loaded


class GuestOptions(NamedTuple):
    """The options of `labvmm run`; without an `orphan` policy the guest dies with its VMM."""

    boot: Boot
    memory_mib: int
    console: Path
    ram: RamKind | None = None
    protected: bool = False
    orphan: Policy | None = None
    keeper: Path | None = None
    plain: bool = False


class Frame(NamedTuple):
    """What a machine is assembled with, whether its guest is new or comes from elsewhere."""

    console: Path
    vcpus: int
    orphan: Policy | None = None
    keeper: Path | None = None
    protected: bool = False
    serial: bytes | None = None  # registers of the port of one that comes from elsewhere


Furnish = Callable[[Driver], tuple[Ram, list[int]]]


def create(options: GuestOptions) -> Machine:
    """Make a guest, ready to start.

    Args:
        options: What to boot, and in what.

    Returns:
        The machine; nothing of it runs yet.

    Raises:
        VmmError: An option is wrong, or impossible on this host.
        OSError: KVM refused a request; the text begins with its name.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a VMM that segfaults leaves no 1 GiB core
    device = kvm.open_device()
    vm = call(device, kvm.Request.KVM_CREATE_VM, drivers.vm_type(protected=options.protected))
    most = kvm.has(device, kvm.Capability.MAX_VCPUS)
    if not 1 <= options.boot.vcpus <= most:
        raise VmmError(f"--vcpus {options.boot.vcpus}: 1 to {most} are possible")
    frame = Frame(
        options.console,
        options.boot.vcpus,
        orphan=options.orphan,
        keeper=options.keeper,
        protected=options.protected,
    )
    return assemble(device, vm, frame, lambda driver: _furnished(vm, driver, options))


def assemble(device: int, vm: int, frame: Frame, furnish: Furnish) -> Machine:
    """Assemble a machine around a VM that has neither memory nor vCPUs.

    Args:
        device: The descriptor of /dev/kvm.
        vm: The VM's descriptor.
        frame: Console, number of vCPUs, and what becomes of an orphan.
        furnish: Gives the VM its RAM and vCPUs; returns both.

    Returns:
        The machine; nothing of it runs yet.
    """
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
    orphanable = Orphanable(
        ExitServer(driver.exits, journal), journal, file, policy.name.lower(), frame.keeper
    )
    run_size = call(device, kvm.Request.KVM_GET_VCPU_MMAP_SIZE)
    vcpus = [AsyncVcpu(fd, index, run_size) for index, fd in enumerate(fds)]
    for vcpu in vcpus:
        vcpu.watch = orphanable.exits.watch
    return Machine(
        vm,
        ram,
        driver,
        vcpus,
        console=frame.console,
        protected=frame.protected,
        orphanable=orphanable,
    )


def _furnished(vm: int, driver: Driver, options: GuestOptions) -> tuple[Ram, list[int]]:
    """Attach RAM with the boot image in it to a VM, and make its vCPUs."""
    driver.plain = options.plain
    ram = _ram(vm, driver, options)
    memory.attach(vm, ram)
    driver.prepare_vm()
    driver.load(ram, options.boot)
    fds = []
    for index in range(options.boot.vcpus):
        fds.append(call(vm, kvm.Request.KVM_CREATE_VCPU, index))
        driver.prepare_vcpu(fds[index], index, options.boot.vcpus)
    return ram, fds


def _ram(vm: int, driver: Driver, options: GuestOptions) -> Ram:
    most = driver.max_memory >> 20
    if not LEAST_MIB <= options.memory_mib <= most:
        raise VmmError(f"--memory {options.memory_mib}: {LEAST_MIB} to {most} MiB are possible")
    lasts = options.orphan is not None and not options.protected
    kind = options.ram or (RamKind.GMEM if lasts else RamKind.MEMFD)
    if lasts and kind is not RamKind.GMEM:
        raise VmmError(f"--ram {kind.value}: a guest that may be orphaned has --ram gmem")
    size = options.memory_mib << 20
    ram = memory.guest_memfd(vm, size) if kind is RamKind.GMEM else memory.memfd(size)
    ram = ram._replace(base=memory.base())
    if options.protected:
        memory.lock_down(ram)
    return ram
