# SPDX-License-Identifier: Apache-2.0
"""A vCPU that is in no VM: struct caretaker_record, filled from KVM and put back into it."""

from __future__ import annotations

import ctypes

from ..errors import VmmError
from ..kvm import common as kvm
from ..kvm import x86 as kvm_x86
from ..kvm.ioctl import call
from ..kvm.x86_state import (
    MSRS,
    TSC_CTRL_GROUP,
    TSC_OFFSET,
    DebugRegs,
    DeviceAttr,
    Events,
    Lapic,
    Msr,
    Msrs,
    Request,
    Xcrs,
    Xsave,
)

MAGIC, VERSION = 0x52544B43, 1
MAX_MSRS, MAX_CPUIDS = 64, 100
TSC, TSC_DEADLINE = 0x10, 0x6E0


class Record(ctypes.Structure):
    """struct caretaker_record."""

    _fields_ = (
        ("magic", ctypes.c_uint32),
        ("version", ctypes.c_uint32),
        ("mp_state", ctypes.c_uint32),
        ("nmsrs", ctypes.c_uint32),
        ("ncpuids", ctypes.c_uint32),
        ("tsc_khz", ctypes.c_uint32),
        ("tsc_offset", ctypes.c_uint64),
        ("xcr0", ctypes.c_uint64),
        ("exit_code", ctypes.c_uint64),
        ("exit_info_1", ctypes.c_uint64),
        ("exit_info_2", ctypes.c_uint64),
        ("entries", ctypes.c_uint64),
        ("reserved", ctypes.c_uint64 * 7),
        ("regs", kvm_x86.Regs),
        ("sregs", kvm_x86.Sregs),
        ("debugregs", DebugRegs),
        ("events", Events),
        ("msrs", Msr * MAX_MSRS),
        ("cpuids", kvm_x86.CpuidEntry * MAX_CPUIDS),
        ("lapic", Lapic),
        ("xsave", Xsave),
    )


def capture(fd: int) -> Record:
    """Read all of a vCPU that does not run; only the owner of its VM can.

    Args:
        fd: The vCPU's descriptor.

    Returns:
        Its state.

    Raises:
        VmmError: A record has no room for all of it.
    """
    record = Record(magic=MAGIC, version=VERSION)
    mp, xcrs = kvm.MpState(), Xcrs()
    call(fd, kvm.Request.KVM_GET_MP_STATE, mp)
    record.mp_state = mp.mp_state
    call(fd, kvm_x86.Request.KVM_GET_REGS, record.regs)
    call(fd, kvm_x86.Request.KVM_GET_SREGS, record.sregs)
    call(fd, Request.KVM_GET_DEBUGREGS, record.debugregs)
    call(fd, Request.KVM_GET_VCPU_EVENTS, record.events)
    call(fd, Request.KVM_GET_LAPIC, record.lapic)
    call(fd, Request.KVM_GET_XSAVE, record.xsave)
    call(fd, Request.KVM_GET_XCRS, xcrs)
    record.xcr0 = xcrs.xcrs[0].value
    record.tsc_khz = call(fd, kvm_x86.Request.KVM_GET_TSC_KHZ)
    record.tsc_offset = _offset(fd, Request.KVM_GET_DEVICE_ATTR, 0)
    _take_msrs(fd, record)
    table = kvm_x86.Cpuid(nent=kvm_x86.CPUID_ENTRIES)
    call(fd, Request.KVM_GET_CPUID2, table)
    if table.nent > MAX_CPUIDS:
        raise VmmError(f"CPUID has {table.nent} leaves, a record has room for {MAX_CPUIDS}")
    record.ncpuids = table.nent
    for to, leaf in zip(record.cpuids, table.entries[: table.nent], strict=False):
        ctypes.memmove(ctypes.addressof(to), ctypes.addressof(leaf), ctypes.sizeof(leaf))
    return record


def _take_msrs(fd: int, record: Record) -> None:
    """Record the MSRs that this kernel has; it returns how many it read."""
    for index in MSRS:
        one = Msrs(nmsrs=1, entry=Msr(index=index))
        try:
            if call(fd, Request.KVM_GET_MSRS, one) != 1:
                continue
        except OSError:
            continue
        record.msrs[record.nmsrs] = one.entry
        record.nmsrs += 1


def restore(fd: int, record: Record) -> None:
    """Set all of a vCPU that has never run, in an order that KVM accepts.

    Args:
        fd: The vCPU's descriptor.
        record: What it becomes.
    """
    cpuid = kvm_x86.Cpuid(nent=record.ncpuids)
    for to, leaf in zip(cpuid.entries, record.cpuids[: record.ncpuids], strict=False):
        ctypes.memmove(ctypes.addressof(to), ctypes.addressof(leaf), ctypes.sizeof(leaf))
    call(fd, kvm_x86.Request.KVM_SET_CPUID2, cpuid)
    restore_again(fd, record)


def restore_again(fd: int, record: Record) -> None:
    """Set all but CPUID, which KVM accepts only before a vCPU has run.

    Args:
        fd: The vCPU's descriptor.
        record: What it becomes.
    """
    call(fd, kvm_x86.Request.KVM_SET_SREGS, record.sregs)
    xcrs = Xcrs(nr_xcrs=1)
    xcrs.xcrs[0].value = record.xcr0
    call(fd, Request.KVM_SET_XCRS, xcrs)
    call(fd, Request.KVM_SET_XSAVE, record.xsave)
    _offset(fd, Request.KVM_SET_DEVICE_ATTR, record.tsc_offset)
    # the timer's mode is in the APIC: a deadline set before that would be dropped
    msrs = sorted(record.msrs[: record.nmsrs], key=lambda msr: msr.index == TSC_DEADLINE)
    for msr in [m for m in msrs if m.index != TSC_DEADLINE]:
        _put_msr(fd, msr)
    call(fd, Request.KVM_SET_LAPIC, record.lapic)
    for msr in [m for m in msrs if m.index == TSC_DEADLINE]:
        _put_msr(fd, msr)
    call(fd, Request.KVM_SET_DEBUGREGS, record.debugregs)
    record.events.flags = 0
    call(fd, Request.KVM_SET_VCPU_EVENTS, record.events)
    call(fd, Request.KVM_SET_MP_STATE, kvm.MpState(mp_state=record.mp_state))
    call(fd, kvm_x86.Request.KVM_SET_REGS, record.regs)


def host_tsc(fd: int, record: Record) -> int:
    """Read this machine's TSC, by that of a vCPU that has been restored.

    Args:
        fd: The vCPU's descriptor.
        record: What it was restored from.

    Returns:
        The host's TSC now, in ticks.

    Raises:
        VmmError: KVM does not let the vCPU's TSC be read.
    """
    one = Msrs(nmsrs=1, entry=Msr(index=TSC))
    if call(fd, Request.KVM_GET_MSRS, one) != 1:
        raise VmmError("KVM_GET_MSRS did not return the vCPU's TSC")
    return (int(one.entry.data) - int(record.tsc_offset)) % (1 << 64)


def _put_msr(fd: int, msr: Msr) -> None:
    if call(fd, Request.KVM_SET_MSRS, Msrs(nmsrs=1, entry=msr)) != 1:
        raise VmmError(f"KVM_SET_MSRS refused MSR {msr.index:#x} = {msr.data:#x}")


def _offset(fd: int, request: Request, offset: int) -> int:
    value = ctypes.c_uint64(offset)
    attr = DeviceAttr(group=TSC_CTRL_GROUP, attr=TSC_OFFSET, addr=ctypes.addressof(value))
    call(fd, request, attr)
    return value.value


def parse(content: bytes) -> Record:
    """Parse a record.

    Args:
        content: Its bytes.

    Returns:
        The record.

    Raises:
        VmmError: The bytes are no record, or one of another version.
    """
    if len(content) != ctypes.sizeof(Record):
        raise VmmError(f"a vCPU's record has {len(content)} bytes, not {ctypes.sizeof(Record)}")
    record = Record.from_buffer_copy(content)
    if (record.magic, record.version) != (MAGIC, VERSION):
        raise VmmError(f"a vCPU's record is of version {record.version}; this labvmm has {VERSION}")
    return record
