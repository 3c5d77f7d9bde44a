# SPDX-License-Identifier: Apache-2.0
"""Guest RAM: one shared mapping of a memfd, or of KVM's own guest_memfd."""

from __future__ import annotations

import ctypes
import enum
import errno
import mmap
import os
import platform
import resource
from typing import NamedTuple

from ..errors import VmmError
from ..kvm import common as kvm
from ..kvm.ioctl import call

MEMFD_NAME = "labvmm-ram"
_slot_pages: list[mmap.mmap] = []
POPULATE_WRITE = 23  # MADV_POPULATE_WRITE
BASES = {"x86_64": 0, "aarch64": 0x4000_0000}  # where RAM begins, in QEMU's machines too


class RamKind(enum.StrEnum):
    """Where guest RAM lives."""

    MEMFD = "memfd"
    GMEM = "gmem"


class Ram(NamedTuple):
    """Guest RAM from `base` up; an offset in the file is that from there."""

    kind: RamKind
    fd: int
    size: int
    pages: mmap.mmap
    base: int = 0

    def write(self, gpa: int, content: bytes | memoryview, what: str) -> None:
        """Put bytes at a guest-physical address.

        Args:
            gpa: The address.
            content: The bytes.
            what: What they are, for the error.

        Raises:
            VmmError: They do not fit; the message says what needed how much.
        """
        start = gpa - self.base
        end = start + len(content)
        if start < 0 or end > self.size:
            raise VmmError(
                f"{what} needs guest memory up to {self.base + end:#x}, "
                f"it ends at {self.base + self.size:#x}",
                hint=f"give it --memory {-(-end // (1 << 20)) + 16}",
            )
        self.pages[start:end] = bytes(content)

    @property
    def address(self) -> int:
        """The address of the mapping in this process."""
        return ctypes.addressof(ctypes.c_char.from_buffer(self.pages))


def base() -> int:
    """Return where guests of this machine's architecture have their RAM.

    Returns:
        The guest-physical address of its first byte.
    """
    return BASES.get(platform.machine(), 0)


def memfd(size: int, name: str = MEMFD_NAME) -> Ram:
    """Make RAM in a memfd; its name in /proc/PID/maps is how `locate` finds it.

    Args:
        size: Bytes.
        name: The memfd's name.

    Returns:
        The RAM, all zero.
    """
    fd = os.memfd_create(name, os.MFD_CLOEXEC)
    os.ftruncate(fd, size)
    return Ram(RamKind.MEMFD, fd, size, mmap.mmap(fd, size, mmap.MAP_SHARED))


def mapped(kind: RamKind, fd: int, size: int) -> Ram:
    """Map RAM that another process has made.

    Args:
        kind: What backs it.
        fd: Its descriptor.
        size: Bytes.

    Returns:
        The RAM.
    """
    return Ram(kind, fd, size, mmap.mmap(fd, size, mmap.MAP_SHARED), base())


def guest_memfd(vm: int, size: int) -> Ram:
    """Make RAM in a guest_memfd that user space may map.

    Args:
        vm: The VM's descriptor.
        size: Bytes.

    Returns:
        The RAM, all zero.

    Raises:
        VmmError: This kernel cannot; the message names the capability that is missing.
    """
    wanted = kvm.GMEM_MMAP | kvm.GMEM_INIT_SHARED
    offered = kvm.has(vm, kvm.Capability.GUEST_MEMFD_FLAGS)
    if not kvm.has(vm, kvm.Capability.GUEST_MEMFD) or offered & wanted != wanted:
        raise VmmError(
            f"this kernel has no guest_memfd that can be mapped (flags {offered:#x})",
            hint="use --ram memfd, or a kernel from 6.18 on with CONFIG_KVM_GUEST_MEMFD",
        )
    fd = call(vm, kvm.Request.KVM_CREATE_GUEST_MEMFD, kvm.GuestMemfd(size=size, flags=wanted))
    return Ram(RamKind.GMEM, fd, size, mmap.mmap(fd, size, mmap.MAP_SHARED))


def lock_down(ram: Ram) -> None:
    """Make all pages of a protected guest, and let this process have them locked.

    KVM pins each page that the guest touches, for the VM's life. Shared memory will do, for it
    is backed by swap and not by a file.

    Args:
        ram: The guest's RAM.

    Raises:
        VmmError: The limit on locked memory is lower, and this user may not raise it.
    """
    limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    if 0 <= limit < ram.size:
        try:
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY,) * 2)
        except (OSError, ValueError) as e:
            raise VmmError(
                f"a protected guest locks all of its {ram.size} bytes; RLIMIT_MEMLOCK is {limit}",
                hint="run labvmm as root, or raise it: ulimit -l unlimited",
            ) from e
    ram.pages.madvise(POPULATE_WRITE)


def try_slot(vm: int, gpa: int) -> dict[str, str]:
    """Add a memory slot of one page and delete it again.

    Args:
        vm: The VM's descriptor.
        gpa: Where the page goes.

    Returns:
        KVM's answers to "create" and "delete": "ok" or an errno's name.
    """
    page = mmap.mmap(-1, mmap.PAGESIZE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    answers = {}
    for what, size in (("create", mmap.PAGESIZE), ("delete", 0)):
        region = kvm.MemoryRegion(
            slot=1, guest_phys_addr=gpa, memory_size=size, userspace_addr=address
        )
        try:
            kvm.set_memory_region(vm, region)
            answers[what] = "ok"
        except OSError as e:
            answers[what] = errno.errorcode.get(e.errno or 0, str(e.errno))
    _slot_pages.append(page)  # where deleting is refused, the slot still points there
    return answers


def attach(vm: int, ram: Ram) -> None:
    """Make RAM the guest's memory.

    Args:
        vm: The VM's descriptor.
        ram: The RAM.
    """
    region = kvm.MemoryRegion(
        guest_phys_addr=ram.base, memory_size=ram.size, userspace_addr=ram.address
    )
    if ram.kind is RamKind.GMEM:
        region.flags = kvm.MEM_GUEST_MEMFD
        region.guest_memfd = ram.fd
    kvm.set_memory_region(vm, region)
