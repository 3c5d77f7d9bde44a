# SPDX-License-Identifier: Apache-2.0
"""All of an x86-64 vCPU's and VM's state that KVM gives and takes: structures and requests."""

from __future__ import annotations

import ctypes
import enum

from .common import KVM, ClockData, MpState
from .ioctl import ior, iow, iowr

XSAVE_BYTES, LAPIC_BYTES, XCRS = 4096, 1024, 16
TSC_CTRL_GROUP, TSC_OFFSET = 0, 0  # KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET
IRQCHIPS = (0, 1, 2)  # both PICs, the IOAPIC
MSRS = (
    0x3B, 0x174, 0x175, 0x176, 0x1A0, 0x277, 0x2FF, 0x6E0,
    0xC0000081, 0xC0000082, 0xC0000083, 0xC0000084, 0xC0000102, 0xC0000103, 0xC0010117,
    0x4B564D00, 0x4B564D01, 0x4B564D02, 0x4B564D03, 0x4B564D04, 0x4B564D05, 0x4B564D06,
)  # fmt: skip


class DebugRegs(ctypes.Structure):
    """struct kvm_debugregs."""

    _fields_ = (
        ("db", ctypes.c_uint64 * 4),
        ("dr6", ctypes.c_uint64),
        ("dr7", ctypes.c_uint64),
        ("rest", ctypes.c_uint64 * 10),
    )


class Events(ctypes.Structure):
    """struct kvm_vcpu_events; only its flags are ours to change."""

    _fields_ = (
        ("exception", ctypes.c_uint8 * 8),
        ("interrupt", ctypes.c_uint8 * 4),
        ("nmi", ctypes.c_uint8 * 4),
        ("sipi_vector", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("rest", ctypes.c_uint8 * 40),
    )


class Lapic(ctypes.Structure):
    """struct kvm_lapic_state."""

    _fields_ = (("regs", ctypes.c_uint8 * LAPIC_BYTES),)


class Xsave(ctypes.Structure):
    """struct kvm_xsave."""

    _fields_ = (("region", ctypes.c_uint8 * XSAVE_BYTES),)


class Xcr(ctypes.Structure):
    """struct kvm_xcr."""

    _fields_ = (("xcr", ctypes.c_uint32), ("reserved", ctypes.c_uint32), ("value", ctypes.c_uint64))


class Xcrs(ctypes.Structure):
    """struct kvm_xcrs."""

    _fields_ = (
        ("nr_xcrs", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("xcrs", Xcr * XCRS),
        ("padding", ctypes.c_uint64 * 16),
    )


class Msr(ctypes.Structure):
    """struct kvm_msr_entry."""

    _fields_ = (
        ("index", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
        ("data", ctypes.c_uint64),
    )


class Msrs(ctypes.Structure):
    """struct kvm_msrs, of one."""

    _fields_ = (("nmsrs", ctypes.c_uint32), ("pad", ctypes.c_uint32), ("entry", Msr))


class DeviceAttr(ctypes.Structure):
    """struct kvm_device_attr."""

    _fields_ = (
        ("flags", ctypes.c_uint32),
        ("group", ctypes.c_uint32),
        ("attr", ctypes.c_uint64),
        ("addr", ctypes.c_uint64),
    )


class IrqChip(ctypes.Structure):
    """struct kvm_irqchip."""

    _fields_ = (
        ("chip_id", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
        ("chip", ctypes.c_uint8 * 512),
    )


class Pit(ctypes.Structure):
    """struct kvm_pit_state2."""

    _fields_ = (("state", ctypes.c_uint8 * 112),)


class Request(enum.IntEnum):
    """ioctl requests; those of MSRs and CPUID count their heads alone."""

    KVM_GET_IRQCHIP = iowr(KVM, 0x62, ctypes.sizeof(IrqChip))
    KVM_SET_IRQCHIP = ior(KVM, 0x63, ctypes.sizeof(IrqChip))
    KVM_SET_CLOCK = iow(KVM, 0x7B, ctypes.sizeof(ClockData))
    KVM_GET_MSRS = iowr(KVM, 0x88, 8)
    KVM_SET_MSRS = iow(KVM, 0x89, 8)
    KVM_GET_LAPIC = ior(KVM, 0x8E, LAPIC_BYTES)
    KVM_SET_LAPIC = iow(KVM, 0x8F, LAPIC_BYTES)
    KVM_GET_CPUID2 = iowr(KVM, 0x91, 8)
    KVM_SET_MP_STATE = iow(KVM, 0x99, ctypes.sizeof(MpState))
    KVM_GET_PIT2 = ior(KVM, 0x9F, ctypes.sizeof(Pit))
    KVM_SET_PIT2 = iow(KVM, 0xA0, ctypes.sizeof(Pit))
    KVM_GET_VCPU_EVENTS = ior(KVM, 0x9F, ctypes.sizeof(Events))
    KVM_SET_VCPU_EVENTS = iow(KVM, 0xA0, ctypes.sizeof(Events))
    KVM_GET_DEBUGREGS = ior(KVM, 0xA1, ctypes.sizeof(DebugRegs))
    KVM_SET_DEBUGREGS = iow(KVM, 0xA2, ctypes.sizeof(DebugRegs))
    KVM_GET_XSAVE = ior(KVM, 0xA4, XSAVE_BYTES)
    KVM_SET_XSAVE = iow(KVM, 0xA5, XSAVE_BYTES)
    KVM_GET_XCRS = ior(KVM, 0xA6, ctypes.sizeof(Xcrs))
    KVM_SET_XCRS = iow(KVM, 0xA7, ctypes.sizeof(Xcrs))
    KVM_SET_DEVICE_ATTR = iow(KVM, 0xE1, ctypes.sizeof(DeviceAttr))
    KVM_GET_DEVICE_ATTR = iow(KVM, 0xE2, ctypes.sizeof(DeviceAttr))
