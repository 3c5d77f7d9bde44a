# SPDX-License-Identifier: Apache-2.0
"""KVM's numbers and structures that are the same on every architecture."""

from __future__ import annotations

import ctypes
import enum
import os

from ..errors import VmmError
from .ioctl import call, io, ior, iow, iowr

KVM = 0xAE
API_VERSION = 12
MEM_GUEST_MEMFD = 1 << 2
GMEM_MMAP = 1 << 0
GMEM_INIT_SHARED = 1 << 1


class MemoryRegion(ctypes.Structure):
    """struct kvm_userspace_memory_region2."""

    _fields_ = (
        ("slot", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("guest_phys_addr", ctypes.c_uint64),
        ("memory_size", ctypes.c_uint64),
        ("userspace_addr", ctypes.c_uint64),
        ("guest_memfd_offset", ctypes.c_uint64),
        ("guest_memfd", ctypes.c_uint32),
        ("pad1", ctypes.c_uint32),
        ("pad2", ctypes.c_uint64 * 14),
    )


class GuestMemfd(ctypes.Structure):
    """struct kvm_create_guest_memfd."""

    _fields_ = (
        ("size", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
        ("reserved", ctypes.c_uint64 * 6),
    )


class IrqLevel(ctypes.Structure):
    """struct kvm_irq_level."""

    _fields_ = (("irq", ctypes.c_uint32), ("level", ctypes.c_uint32))


class MpState(ctypes.Structure):
    """struct kvm_mp_state."""

    _fields_ = (("mp_state", ctypes.c_uint32),)


class ClockData(ctypes.Structure):
    """struct kvm_clock_data."""

    _fields_ = (
        ("clock", ctypes.c_uint64),
        ("flags", ctypes.c_uint32),
        ("pad0", ctypes.c_uint32),
        ("realtime", ctypes.c_uint64),
        ("host_tsc", ctypes.c_uint64),
        ("pad", ctypes.c_uint32 * 4),
    )


class Request(enum.IntEnum):
    """ioctl requests on /dev/kvm, a VM or a vCPU."""

    KVM_GET_API_VERSION = io(KVM, 0x00)
    KVM_CREATE_VM = io(KVM, 0x01)
    KVM_CHECK_EXTENSION = io(KVM, 0x03)
    KVM_GET_VCPU_MMAP_SIZE = io(KVM, 0x04)
    KVM_CREATE_VCPU = io(KVM, 0x41)
    KVM_SET_USER_MEMORY_REGION = iow(KVM, 0x46, MemoryRegion.guest_memfd_offset.offset)
    KVM_SET_USER_MEMORY_REGION2 = iow(KVM, 0x49, ctypes.sizeof(MemoryRegion))
    KVM_IRQ_LINE = iow(KVM, 0x61, ctypes.sizeof(IrqLevel))
    KVM_GET_CLOCK = ior(KVM, 0x7C, ctypes.sizeof(ClockData))
    KVM_RUN = io(KVM, 0x80)
    KVM_GET_MP_STATE = ior(KVM, 0x98, ctypes.sizeof(MpState))
    KVM_CREATE_GUEST_MEMFD = iowr(KVM, 0xD4, ctypes.sizeof(GuestMemfd))


class Capability(enum.IntEnum):
    """What KVM_CHECK_EXTENSION is asked about."""

    MAX_VCPUS = 66
    TSC_DEADLINE_TIMER = 72
    IMMEDIATE_EXIT = 136
    USER_MEMORY2 = 231
    GUEST_MEMFD = 234
    GUEST_MEMFD_FLAGS = 244


class Exit(enum.IntEnum):
    """Why KVM_RUN came back; a number that is not here is shown as it is."""

    UNKNOWN = 0
    IO = 2
    HYPERCALL = 3
    DEBUG = 4
    HLT = 5
    MMIO = 6
    SHUTDOWN = 8
    FAIL_ENTRY = 9
    INTR = 10
    INTERNAL_ERROR = 17
    SYSTEM_EVENT = 24
    ARM_NISV = 28
    MEMORY_FAULT = 39


def exit_name(reason: int) -> str:
    """Name an exit reason.

    Args:
        reason: KVM_EXIT_*.

    Returns:
        Its name without the prefix, or the number as text if it is unknown.
    """
    return Exit(reason).name if reason in Exit._value2member_map_ else str(reason)


def open_device(path: str = "/dev/kvm") -> int:
    """Open KVM and check that it speaks the one API that there is.

    Args:
        path: The device.

    Returns:
        Its descriptor.

    Raises:
        VmmError: The device cannot be opened, or has another API version.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as e:
        raise VmmError(
            f"'{path}' cannot be opened: {e.strerror}",
            hint="this machine needs CPU virtualization (svm, vmx or EL2) and a kernel with KVM",
        ) from e
    version = call(fd, Request.KVM_GET_API_VERSION)
    if version != API_VERSION:
        os.close(fd)
        raise VmmError(f"'{path}' speaks KVM API {version}, wanted {API_VERSION}")
    return fd


def has(fd: int, capability: Capability) -> int:
    """Ask for a capability.

    Args:
        fd: The descriptor of /dev/kvm or of a VM.
        capability: KVM_CAP_*.

    Returns:
        0 for no; otherwise 1, a count or a mask of bits, as the capability has it.
    """
    return call(fd, Request.KVM_CHECK_EXTENSION, capability.value)


def set_memory_region(vm: int, region: MemoryRegion) -> None:
    """Make, change or delete a memory slot.

    Kernels before 6.8 have only KVM_SET_USER_MEMORY_REGION, whose structure is the first half of
    the newer one's: what it has not is about guest_memfd.

    Args:
        vm: The VM's descriptor.
        region: The slot.

    Raises:
        OSError: KVM refused.
    """
    newer = has(vm, Capability.USER_MEMORY2)
    request = Request.KVM_SET_USER_MEMORY_REGION2 if newer else Request.KVM_SET_USER_MEMORY_REGION
    call(vm, request, region)
