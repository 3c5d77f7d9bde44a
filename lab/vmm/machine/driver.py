# SPDX-License-Identifier: Apache-2.0
"""What an architecture must bring: irqchip, boot protocol, vCPU registers and its own exits."""

from __future__ import annotations

import importlib
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import NamedTuple, Protocol

from ..errors import VmmError
from .memory import Ram
from .vcpu import Handler

MODULES = {"x86_64": "..arch.x86.driver", "aarch64": "..arch.arm64.driver"}
PROTECTED_TYPES = {"aarch64": 1 << 31}  # KVM_VM_TYPE_ARM_PROTECTED


class Boot(NamedTuple):
    """What the guest starts from."""

    kernel: Path
    initrd: Path | None
    cmdline: str
    vcpus: int


Console = Callable[[bytes], object]


class Driver(Protocol):
    """One architecture; made once for each guest."""

    exits: Mapping[int, Handler]
    max_memory: int
    plain: bool  # whether vCPUs are told of nothing that only KVM can do, where there is such
    devices: tuple[str, ...]  # what a new owner must know, beside vCPUs and memory

    def prepare_vm(self) -> None:
        """Make the interrupt controller and what else must exist before the first vCPU."""

    def load(self, ram: Ram, boot: Boot) -> None:
        """Put kernel, initrd, command line and tables into guest RAM.

        Args:
            ram: The guest's RAM.
            boot: What to boot.
        """

    def prepare_vcpu(self, fd: int, index: int, count: int) -> None:
        """Set the registers with which a vCPU starts.

        Args:
            fd: The vCPU's descriptor.
            index: Its index.
            count: How many vCPUs the guest has.
        """

    def registers(self, fd: int) -> dict[str, str]:
        """Read a vCPU's registers; it must not be running.

        Args:
            fd: The vCPU's descriptor.

        Returns:
            Hexadecimal values by name; "pc" is always there.
        """

    def unclaimed_accesses(self) -> dict[str, int]:
        """Count accesses where there is no device.

        Returns:
            How many there were, by "port 0x..." or "mmio".
        """

    def device_state(self) -> bytes:
        """Read the state of the devices that the VMM itself emulates.

        Returns:
            The serial port's registers, STATE_BYTES long.

        Raises:
            VmmError: This architecture cannot.
        """

    def fds(self) -> dict[str, int]:
        """List the in-kernel devices' descriptors, which must stay open.

        Returns:
            The descriptors by name.
        """


def vm_type(*, protected: bool) -> int:
    """Return the type to create a VM with.

    Args:
        protected: Whether the host must not see the guest's memory.

    Returns:
        The argument of KVM_CREATE_VM.

    Raises:
        VmmError: This architecture has no protected VMs.
    """
    if not protected:
        return 0
    machine = platform.machine()
    if machine not in PROTECTED_TYPES:
        raise VmmError(
            f"there are no protected VMs on '{machine}'",
            hint="run it on an arm64 host whose kernel has kvm-arm.mode=protected",
        )
    return PROTECTED_TYPES[machine]


def make(kvm: int, vm: int, console: Console, registers: bytearray | None = None) -> Driver:
    """Make the driver of this machine's architecture.

    Args:
        kvm: The descriptor of /dev/kvm; an adopter does not need it and passes -1.
        vm: The VM's descriptor.
        console: Called with the bytes that the guest prints.
        registers: The serial port's state; a port after reset if None.

    Returns:
        The driver.

    Raises:
        VmmError: There is none for this architecture.
    """
    driver: Driver = module().make(kvm, vm, console, registers)
    return driver


def module() -> ModuleType:
    """Import the driver's module for this machine's architecture.

    Returns:
        The module, with `make` and `DEVICES`.

    Raises:
        VmmError: There is none for this architecture.
    """
    machine = platform.machine()
    if machine not in MODULES:
        raise VmmError(f"no driver for '{machine}'; there is one for {', '.join(MODULES)}")
    return importlib.import_module(MODULES[machine], __package__)
