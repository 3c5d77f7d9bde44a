# SPDX-License-Identifier: Apache-2.0
"""The arm64 driver: in-kernel vGICv3, PSCI, boot by Linux's protocol, and a PL011.

The memory map is that of QEMU's `virt`, so that a payload runs on both.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct

from ...devices.pl011 import Pl011
from ...devices.serial import STATE_BYTES
from ...errors import VmmError
from ...kvm import arm64 as kvm_arm64
from ...kvm import common as kvm
from ...kvm.arm64 import Request, SystemEvent, set_attribute, set_register
from ...kvm.ioctl import call
from ...machine.driver import Boot, Console
from ...machine.memory import Ram
from ...machine.vcpu import UNION, Handler, Stop
from . import fdt
from .board import DISTRIBUTOR, PAGE, REDISTRIBUTORS, UART, UART_SPI, device_tree, image_place

DEVICES = ("vgic-v3", "pl011")
PSTATE = 0x3C5  # EL1h, all exceptions masked
KINDS = {SystemEvent.SHUTDOWN: "shutdown", SystemEvent.RESET: "reset", SystemEvent.CRASH: "crash"}


class Arm64:
    """One guest's arm64 parts: GICv3, PL011, boot by the arm64 Image protocol."""

    plain = False
    max_memory = 3 << 30  # as much as the payloads map
    devices = DEVICES

    def __init__(
        self, device: int, vm: int, console: Console, registers: bytearray | None = None
    ) -> None:
        self._device = device
        self._vm = vm
        self._gic = -1
        self._entry = 0
        self._tree = 0
        self._registers = bytearray(STATE_BYTES) if registers is None else registers
        self._uart = Pl011(console, self._uart_irq, self._registers)
        self._mmio = 0
        self.exits: dict[int, Handler] = {
            kvm.Exit.MMIO: self._access,
            kvm.Exit.SYSTEM_EVENT: _system_event,
            kvm.Exit.FAIL_ENTRY: _entry_failed,
            kvm.Exit.INTERNAL_ERROR: _internal_error,
        }

    def prepare_vm(self) -> None:
        """Make the interrupt controller; it is complete when the last vCPU is there."""
        device = kvm_arm64.CreateDevice(type=kvm_arm64.DEVICE_VGIC_V3)
        call(self._vm, Request.KVM_CREATE_DEVICE, device)
        self._gic = device.fd
        for kind, (address, _) in (
            (kvm_arm64.DISTRIBUTOR, DISTRIBUTOR),
            (kvm_arm64.REDISTRIBUTORS, REDISTRIBUTORS),
        ):
            set_attribute(self._gic, kvm_arm64.GROUP_ADDRESS, kind, address)

    def load(self, ram: Ram, boot: Boot) -> None:
        """Put kernel, initrd and device tree into RAM."""
        what = f"kernel '{boot.kernel}'"
        image = _read(boot.kernel, "kernel")
        place = image_place(image, what)
        self._entry = ram.base + place.offset
        ram.write(self._entry, image, what)
        ram.write(self._entry + max(place.size, len(image)), b"", what)
        initrd = None
        if boot.initrd is not None:
            content = _read(boot.initrd, "initrd")
            start = ram.base + (ram.size - len(content)) // PAGE * PAGE
            ram.write(start, content, f"initrd '{boot.initrd}'")
            initrd = start, start + len(content)
        tree = fdt.build(device_tree(boot, ram.base, ram.size, initrd, os.urandom(32)))
        if len(tree) > place.offset:
            raise VmmError(f"device tree of {len(tree)} bytes; at most {place.offset}")
        self._tree = ram.base
        ram.write(self._tree, tree, "device tree")

    def prepare_vcpu(self, fd: int, index: int, count: int) -> None:
        """Reset it; the first one starts as Linux wants it, the others wait for PSCI CPU_ON.

        KVM_ARM_PREFERRED_TARGET is not asked: protected VMs refuse it, and it has one answer.
        """
        init = kvm_arm64.VcpuInit(target=kvm_arm64.TARGET_GENERIC_V8)
        init.features[0] = kvm_arm64.PSCI_0_2 | (kvm_arm64.POWER_OFF if index else 0)
        call(fd, Request.KVM_ARM_VCPU_INIT, init)
        if index == 0:
            set_register(fd, "x0", self._tree)
            set_register(fd, "pc", self._entry)
            set_register(fd, "pstate", PSTATE)
        if index == count - 1:
            set_attribute(self._gic, kvm_arm64.GROUP_CONTROL, kvm_arm64.CONTROL_INIT)

    def registers(self, fd: int) -> dict[str, str]:
        """Read general and a few system registers."""
        names = ("pc", *(n for n in kvm_arm64.REGISTERS if n != "pc"))
        return {name: f"{kvm_arm64.get_register(fd, name):#x}" for name in names}

    def unclaimed_accesses(self) -> dict[str, int]:
        """Count accesses to memory where there is no device."""
        return {"mmio": self._mmio}

    def device_state(self) -> bytes:
        """Read the serial port's registers."""
        return bytes(self._registers)

    def fds(self) -> dict[str, int]:
        """List the interrupt controller's descriptor; an adopter does not need it."""
        return {"gic": self._gic} if self._gic >= 0 else {}

    def _uart_irq(self, level: bool) -> None:
        line = kvm.IrqLevel(irq=kvm_arm64.IRQ_SPI | 32 + UART_SPI, level=int(level))
        call(self._vm, kvm.Request.KVM_IRQ_LINE, line)

    def _access(self, run: mmap.mmap) -> Stop | None:
        address, _, length, is_write = struct.unpack_from("=Q8sIB", run, UNION)
        base, size = UART
        register = address - base
        inside = 0 <= register < size
        self._mmio += not inside
        at = UNION + ctypes.sizeof(ctypes.c_uint64)
        if is_write and inside:
            self._uart.write(register, int.from_bytes(run[at : at + length], "little"))
        elif not is_write:
            value = self._uart.read(register) if inside else 0
            run[at : at + 8] = value.to_bytes(8, "little")
        return None


def make(device: int, vm: int, console: Console, registers: bytearray | None = None) -> Arm64:
    """Make this architecture's driver."""
    return Arm64(device, vm, console, registers)


def _read(path: os.PathLike[str], what: str) -> bytes:
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return file.read()
    except OSError as e:
        raise VmmError(f"{what} '{path}' cannot be read: {e.strerror}") from e


def _system_event(run: mmap.mmap) -> Stop:
    (kind,) = struct.unpack_from("=I", run, UNION)
    known = SystemEvent(kind) if kind in SystemEvent._value2member_map_ else None
    return Stop(KINDS[known] if known else "system-event", f"PSCI system event {kind}")


def _entry_failed(run: mmap.mmap) -> Stop:
    (why,) = struct.unpack_from("=Q", run, UNION)
    return Stop("fail-entry", f"hardware refused to enter the guest, reason {why:#x}")


def _internal_error(run: mmap.mmap) -> Stop:
    (suberror,) = struct.unpack_from("=I", run, UNION)
    return Stop("internal-error", f"KVM internal error, suberror {suberror}")
