# SPDX-License-Identifier: Apache-2.0
"""The architectures of an L1 and its L2: one frozen record each, of all that differs by it.

What labvmm does differently is in lab.vmm.arch, which is shipped alone. What a mode of a host is
asked for with, and proven by, is in lab.host.modes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath

from lab.errors import ConfigError


class HostMode(StrEnum):
    """Where the host's kernel runs relative to its hypervisor."""

    NATIVE = "native"
    VHE = "vhe"
    NVHE = "nvhe"
    PROTECTED = "protected"
    NESTED = "nested"
    SWALLOWED = "swallowed"


class Arch(StrEnum):
    """Of an L1 and of its L2: they are always the same."""

    X86_64 = "x86_64"
    ARM64 = "arm64"

    @property
    def traits(self) -> Architecture:
        """All that differs by it."""
        return _ARCHITECTURES[self]


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """All that differs by the architecture of an L1 and its L2.

    Attributes:
        name: The lab's word for it, in TOML and cell ids.
        qemu: What QEMU, libvirt and uname(2) call it.
        debian: What Debian calls it.
        kernel: ARCH= of the kernel's makefiles.
        triplet: What the names of its GNU compilers begin with.
        image: The kernel's boot image, beneath the build folder.
        objects: About how many objects a build of the stock recipe makes.
        modes: What modes a host may be in; the first is the usual one.
        qemu_package: The Debian package with its QEMU.
        machine: QEMU's machine for an L1.
        template: The libvirt domain XML of an L1, in lab/virt/templates.
        ram_base: The physical address of an L1's memory.
        debug_port: Whether an L1 has a port of its machine's that is written to a file of L0's.
        console: The kernel's name for the serial console of an L1 or L2.
        host_words: What an L1's command line says.
        guest_words: What a Linux L2's command line says.
        guest_machine: QEMU's machine for an L2.
        guest_kernel: What a Linux L2 boots, by its name on the tools disk.
        boots_elf: Whether that is vmlinux, by its PVH note, and not the boot image.
        payload_suffix: What the names of the bare-metal guests end in, as their arch.mk has it.
        unit_test_devices: QEMU's words for what a kvm-unit-test ends itself by.
    """

    name: str
    qemu: str
    debian: str
    kernel: str
    triplet: str
    image: str
    objects: int
    modes: tuple[HostMode, ...]
    qemu_package: str
    machine: str
    template: str
    ram_base: int
    debug_port: bool
    console: str
    host_words: tuple[str, ...]
    guest_words: tuple[str, ...]
    guest_machine: str
    guest_kernel: str
    boots_elf: bool
    payload_suffix: str
    unit_test_devices: str

    @property
    def image_name(self) -> str:
        """The boot image's name without its folder: bzImage or Image."""
        return PurePosixPath(self.image).name

    @property
    def emulator(self) -> str:
        """Its QEMU's program."""
        return f"qemu-system-{self.qemu}"


_ARCHITECTURES: Mapping[Arch, Architecture] = {
    Arch.X86_64: Architecture(
        name="x86_64",
        qemu="x86_64",
        debian="amd64",
        kernel="x86",
        triplet="x86_64-linux-gnu",
        image="arch/x86/boot/bzImage",
        objects=2160,
        modes=(HostMode.NATIVE, HostMode.SWALLOWED),
        qemu_package="qemu-system-x86",
        machine="q35",
        template="x86_64.xml.j2",
        ram_base=0,
        debug_port=True,
        console="ttyS0",
        # The TSC of a TCG machine is one clock for all CPUs; calibration under load goes wrong.
        host_words=("tsc=reliable", "no_timer_check"),
        # Looking for a CMOS clock that is not there takes an L2 five seconds.
        guest_words=("tsc=reliable", "no_timer_check", "initcall_blacklist=cmos_init"),
        # No firmware tables to walk, no PCI to scan: an L2 is up in half the time of a q35.
        guest_machine="microvm,rtc=off,pic=on,pit=on",
        guest_kernel="vmlinux",
        boots_elf=True,
        payload_suffix=".elf",
        # With a PIT that makes up for lost ticks, AVIC is off.
        unit_test_devices=(
            "-global kvm-pit.lost_tick_policy=discard "
            "-device pc-testdev -device isa-debug-exit,iobase=0xf4,iosize=0x4"
        ),
    ),
    Arch.ARM64: Architecture(
        name="arm64",
        qemu="aarch64",
        debian="arm64",
        kernel="arm64",
        triplet="aarch64-linux-gnu",
        image="arch/arm64/boot/Image",
        objects=2060,
        modes=(HostMode.VHE, HostMode.NVHE, HostMode.PROTECTED, HostMode.NESTED),
        qemu_package="qemu-system-arm",
        machine="virt",
        template="arm64.xml.j2",
        ram_base=1 << 30,
        debug_port=False,
        console="ttyAMA0",
        host_words=(),
        guest_words=(),
        guest_machine="virt,gic-version=3",
        guest_kernel="guest-Image",
        boots_elf=False,
        payload_suffix=".img",
        unit_test_devices=(
            "-machine virt,gic-version=host -cpu host -device virtio-serial-device "
            "-device virtconsole,chardev=ctd -chardev testdev,id=ctd"
        ),
    ),
}


def architecture(name: str) -> Architecture:
    """Return the architecture that the lab calls `name`.

    Args:
        name: "x86_64" or "arm64".

    Returns:
        Its traits.

    Raises:
        ConfigError: There is none.
    """
    if name in set(Arch):
        return Arch(name).traits
    known = ", ".join(f"'{arch.value}'" for arch in Arch)
    raise ConfigError(f"unknown architecture '{name}'", hint=f"known are {known}")


def native() -> Architecture:
    """Return the architecture of this machine.

    Returns:
        Its traits.

    Raises:
        ConfigError: It is none of the lab's.
    """
    machine = os.uname().machine
    by_uname = {arch.traits.qemu: arch.traits for arch in Arch}
    return by_uname[machine] if machine in by_uname else architecture(machine)
