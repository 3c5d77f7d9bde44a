# SPDX-License-Identifier: Apache-2.0
"""The x86-64 driver: in-kernel irqchip and PIT, boot by PVH, MP table, and the exits of a PC."""

from __future__ import annotations

import contextlib
import mmap
import struct

from ...devices.pio import Ports, Reset
from ...devices.serial import STATE_BYTES, Serial
from ...errors import VmmError
from ...kvm import common as kvm
from ...kvm import x86 as kvm_x86
from ...kvm.ioctl import call
from ...kvm.x86 import Request
from ...machine.driver import Boot, Console
from ...machine.memory import Ram
from ...machine.vcpu import UNION, Handler, Stop
from . import cpuid, elf, mptable, pvh

DEVICES = ("irqchip", "pit", "16550")
IRQ_SERIAL = 4
TSS_ADDRESS, IDENTITY_MAP = 0xFFFBD000, 0xFFFBC000
PAGE = 4096
PROTECTED_MODE = 0x11  # CR0: PE and ET
CODE, DATA, BUSY_TSS = 0xB, 0x3, 0xB
OUT = 1


class X86:
    """One guest's x86 parts."""

    max_memory = 3 << 30  # one memory slot, below the hole
    plain = False
    devices = DEVICES

    def __init__(
        self, device: int, vm: int, console: Console, registers: bytearray | None = None
    ) -> None:
        self._device = device
        self._vm = vm
        self._entry = 0
        self._supported: list[cpuid.Leaf] = []
        self._registers = bytearray(STATE_BYTES) if registers is None else registers
        self._serial = Serial(console, self._serial_irq, self._registers)
        self._ports = Ports(self._serial)
        self._mmio = 0
        self.exits: dict[int, Handler] = {
            kvm.Exit.IO: self._io,
            kvm.Exit.MMIO: self._no_device,
            kvm.Exit.SHUTDOWN: lambda _: Stop("shutdown", "triple fault"),
            kvm.Exit.FAIL_ENTRY: _entry_failed,
            kvm.Exit.INTERNAL_ERROR: _internal_error,
        }

    def prepare_vm(self) -> None:
        """Make PIC, IOAPIC, local APICs and PIT in the kernel."""
        call(self._vm, Request.KVM_SET_TSS_ADDR, TSS_ADDRESS)
        call(self._vm, Request.KVM_SET_IDENTITY_MAP_ADDR, kvm_x86.Address(value=IDENTITY_MAP))
        call(self._vm, Request.KVM_CREATE_IRQCHIP)
        call(self._vm, Request.KVM_CREATE_PIT2, kvm_x86.PitConfig(flags=1))  # port 0x61 too
        keep_tsc_rate(self._vm)
        table = kvm_x86.Cpuid(nent=kvm_x86.CPUID_ENTRIES)
        call(self._device, Request.KVM_GET_SUPPORTED_CPUID, table)
        self._supported = [
            cpuid.Leaf(e.function, e.index, e.flags, e.eax, e.ebx, e.ecx, e.edx)
            for e in table.entries[: table.nent]
        ]

    def load(self, ram: Ram, boot: Boot) -> None:
        """Put kernel, initrd, PVH start info and MP table into RAM."""
        kernel = elf.read(boot.kernel)
        if kernel.pvh_entry is None:
            raise VmmError(
                f"kernel '{boot.kernel}' ({kernel.machine}) has no PVH entry note",
                hint="build it with CONFIG_PVH=y, or give a payload its XEN_ELFNOTE_PHYS32_ENTRY",
            )
        for segment in kernel.segments:
            end = segment.address + segment.memory
            ram.write(segment.address, segment.content, f"kernel '{boot.kernel}'")
            ram.write(end, b"", f"kernel '{boot.kernel}'")
        self._entry = kernel.pvh_entry
        initrd = _load_initrd(ram, boot)
        for piece in pvh.pieces(boot.cmdline, ram.size, initrd):
            ram.write(piece.address, piece.content, piece.what)
        ram.write(mptable.ADDRESS, mptable.build(boot.vcpus), "MP table")

    def prepare_vcpu(self, fd: int, index: int, count: int) -> None:
        """Set its CPUID; the first one starts as PVH wants it, the others wait for a SIPI."""
        deadline = bool(kvm.has(self._vm, kvm.Capability.TSC_DEADLINE_TIMER))
        leaves = cpuid.for_vcpu(self._supported, index, count, deadline=deadline)
        leaves = cpuid.plain(leaves) if self.plain else leaves
        table = kvm_x86.Cpuid(nent=len(leaves))
        for slot, leaf in zip(table.entries, leaves, strict=False):
            slot.function, slot.index, slot.flags = leaf.function, leaf.subleaf, leaf.flags
            slot.eax, slot.ebx, slot.ecx, slot.edx = leaf.eax, leaf.ebx, leaf.ecx, leaf.edx
        call(fd, Request.KVM_SET_CPUID2, table)
        if index == 0:
            enter_protected_mode(fd, self._entry, pvh.START_INFO)

    def registers(self, fd: int) -> dict[str, str]:
        """Read general and control registers."""
        regs, sregs = kvm_x86.Regs(), kvm_x86.Sregs()
        call(fd, Request.KVM_GET_REGS, regs)
        call(fd, Request.KVM_GET_SREGS, sregs)
        general = {name: f"{getattr(regs, name):#x}" for name in kvm_x86.REGISTERS}
        control = ("cr0", "cr2", "cr3", "cr4", "efer", "apic_base")
        return {"pc": general["rip"], **general, **{n: f"{getattr(sregs, n):#x}" for n in control}}

    def unclaimed_accesses(self) -> dict[str, int]:
        """Count accesses to ports and memory where there is no device."""
        ports = {f"port {port:#x}": n for port, n in sorted(self._ports.unclaimed.items())}
        return {**ports, "mmio": self._mmio}

    def device_state(self) -> bytes:
        """Read the serial port's registers."""
        return bytes(self._registers)

    def fds(self) -> dict[str, int]:
        """List no descriptors: the interrupt controllers and the PIT belong to the VM."""
        return {}

    def _serial_irq(self, level: bool) -> None:
        line = kvm.IrqLevel(irq=IRQ_SERIAL, level=int(level))
        call(self._vm, kvm.Request.KVM_IRQ_LINE, line)

    def _io(self, run: mmap.mmap) -> Stop | None:
        direction, size, port, count, at = struct.unpack_from("=BBHIQ", run, UNION)
        try:
            if direction == OUT:
                self._ports.write(port, size, run[at : at + size * count])
            else:
                run[at : at + size * count] = self._ports.read(port, size, count)
        except Reset as e:
            return Stop("reset", str(e))
        return None

    def _no_device(self, run: mmap.mmap) -> Stop | None:
        self._mmio += 1
        _, _, length, is_write = struct.unpack_from("=Q8sIB", run, UNION)
        if not is_write:
            run[UNION + 8 : UNION + 8 + length] = b"\xff" * length
        return None


def make(device: int, vm: int, console: Console, registers: bytearray | None = None) -> X86:
    """Make this architecture's driver."""
    return X86(device, vm, console, registers)


def keep_tsc_rate(vm: int) -> None:
    """Set a VM's TSC rate to the one that the host has now.

    KVM's default is the rate at its own start. Where the host refined it since by
    more than 250 ppm (as it does after calibrating on a busy machine), KVM leaves the
    vCPU with a TSC multiplier of 0, and no timer of the guest ever fires. Kernels
    before 5.18 have no such request for a VM.

    Args:
        vm: The VM's descriptor.
    """
    with contextlib.suppress(OSError):
        call(vm, Request.KVM_SET_TSC_KHZ, 0)


def enter_protected_mode(fd: int, entry: int, ebx: int) -> None:
    """Set a vCPU to flat 32-bit protected mode without paging, at `entry`."""
    sregs = kvm_x86.Sregs()
    call(fd, Request.KVM_GET_SREGS, sregs)
    sregs.cr0 = PROTECTED_MODE
    sregs.cs = _flat(CODE, selector=8)
    for name in ("ds", "es", "fs", "gs", "ss"):
        setattr(sregs, name, _flat(DATA, selector=16))
    sregs.tr = kvm_x86.Segment(limit=0x67, type=BUSY_TSS, present=1)
    call(fd, Request.KVM_SET_SREGS, sregs)
    call(fd, Request.KVM_SET_REGS, kvm_x86.Regs(rip=entry, rbx=ebx, rflags=2))


def _flat(kind: int, selector: int) -> kvm_x86.Segment:
    return kvm_x86.Segment(
        limit=0xFFFFFFFF, selector=selector, type=kind, present=1, db=1, s=1, g=1
    )


def _load_initrd(ram: Ram, boot: Boot) -> tuple[int, int] | None:
    if boot.initrd is None:
        return None
    try:
        content = boot.initrd.read_bytes()
    except OSError as e:
        raise VmmError(f"initrd '{boot.initrd}' cannot be read: {e.strerror}") from e
    address = (ram.size - len(content)) // PAGE * PAGE
    ram.write(address, content, f"initrd '{boot.initrd}'")
    return address, len(content)


def _entry_failed(run: mmap.mmap) -> Stop:
    (why,) = struct.unpack_from("=Q", run, UNION)
    return Stop("fail-entry", f"hardware refused to enter the guest, reason {why:#x}")


def _internal_error(run: mmap.mmap) -> Stop:
    (suberror,) = struct.unpack_from("=I", run, UNION)
    return Stop("internal-error", f"KVM internal error, suberror {suberror}")
