# SPDX-License-Identifier: Apache-2.0
"""KVM's numbers and structures that only x86-64 has."""

from __future__ import annotations

import ctypes
import enum

from .common import KVM
from .ioctl import io, ior, iow, iowr

REGISTERS = (
    *("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rsp", "rbp"),
    *("r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"),
    *("rip", "rflags"),
)
CPUID_ENTRIES = 256


class Regs(ctypes.Structure):
    """struct kvm_regs."""

    _fields_ = tuple((name, ctypes.c_uint64) for name in REGISTERS)


class Segment(ctypes.Structure):
    """struct kvm_segment."""

    _fields_ = (
        ("base", ctypes.c_uint64),
        ("limit", ctypes.c_uint32),
        ("selector", ctypes.c_uint16),
        *((n, ctypes.c_uint8) for n in ("type", "present", "dpl", "db", "s", "l", "g", "avl")),
        ("unusable", ctypes.c_uint8),
        ("padding", ctypes.c_uint8),
    )


class Table(ctypes.Structure):
    """struct kvm_dtable."""

    _fields_ = (
        ("base", ctypes.c_uint64),
        ("limit", ctypes.c_uint16),
        ("padding", ctypes.c_uint16 * 3),
    )


class Sregs(ctypes.Structure):
    """struct kvm_sregs."""

    _fields_ = (
        *((n, Segment) for n in ("cs", "ds", "es", "fs", "gs", "ss", "tr", "ldt")),
        ("gdt", Table),
        ("idt", Table),
        *((n, ctypes.c_uint64) for n in ("cr0", "cr2", "cr3", "cr4", "cr8", "efer", "apic_base")),
        ("interrupt_bitmap", ctypes.c_uint64 * 4),
    )


class CpuidEntry(ctypes.Structure):
    """struct kvm_cpuid_entry2."""

    _fields_ = (
        *((n, ctypes.c_uint32) for n in ("function", "index", "flags", "eax", "ebx", "ecx", "edx")),
        ("padding", ctypes.c_uint32 * 3),
    )


class Cpuid(ctypes.Structure):
    """struct kvm_cpuid2, with room for every leaf there may be."""

    _fields_ = (
        ("nent", ctypes.c_uint32),
        ("padding", ctypes.c_uint32),
        ("entries", CpuidEntry * CPUID_ENTRIES),
    )


class PitConfig(ctypes.Structure):
    """struct kvm_pit_config."""

    _fields_ = (("flags", ctypes.c_uint32), ("pad", ctypes.c_uint32 * 15))


class Address(ctypes.Structure):
    """A lone __u64 that is handed over by pointer."""

    _fields_ = (("value", ctypes.c_uint64),)


class Request(enum.IntEnum):
    """ioctl requests that only x86-64 has; cpuid2's number counts its head alone."""

    KVM_GET_SUPPORTED_CPUID = iowr(KVM, 0x05, 8)
    KVM_SET_TSS_ADDR = io(KVM, 0x47)
    KVM_SET_IDENTITY_MAP_ADDR = iow(KVM, 0x48, ctypes.sizeof(Address))
    KVM_CREATE_IRQCHIP = io(KVM, 0x60)
    KVM_CREATE_PIT2 = iow(KVM, 0x77, ctypes.sizeof(PitConfig))
    KVM_SET_TSC_KHZ = io(KVM, 0xA2)
    KVM_GET_TSC_KHZ = io(KVM, 0xA3)
    KVM_GET_REGS = ior(KVM, 0x81, ctypes.sizeof(Regs))
    KVM_SET_REGS = iow(KVM, 0x82, ctypes.sizeof(Regs))
    KVM_GET_SREGS = ior(KVM, 0x83, ctypes.sizeof(Sregs))
    KVM_SET_SREGS = iow(KVM, 0x84, ctypes.sizeof(Sregs))
    KVM_SET_CPUID2 = iow(KVM, 0x90, 8)
