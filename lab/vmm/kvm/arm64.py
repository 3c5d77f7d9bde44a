# SPDX-License-Identifier: Apache-2.0
"""KVM's numbers and structures that only arm64 has."""

from __future__ import annotations

import ctypes
import enum
import os
from collections.abc import Iterator
from contextlib import contextmanager

from . import common as kvm
from .common import KVM, MpState
from .ioctl import call, ior, iow, iowr

VM_TYPE_PROTECTED = 1 << 31
TARGET_GENERIC_V8 = 5
POWER_OFF, PSCI_0_2 = 1 << 0, 1 << 2
DEVICE_VGIC_V3 = 7
GROUP_ADDRESS, GROUP_DISTRIBUTOR, GROUP_CONTROL, GROUP_REDISTRIBUTOR = 0, 1, 4, 5
GROUP_CPU_SYSREGS, GROUP_LEVEL_INFO = 6, 7
DISTRIBUTOR, REDISTRIBUTORS = 2, 3
CONTROL_INIT = 0
IRQ_SPI = 1 << 24
MAX_REGISTERS = 4096


class VcpuInit(ctypes.Structure):
    """struct kvm_vcpu_init."""

    _fields_ = (("target", ctypes.c_uint32), ("features", ctypes.c_uint32 * 7))


class OneReg(ctypes.Structure):
    """struct kvm_one_reg."""

    _fields_ = (("id", ctypes.c_uint64), ("addr", ctypes.c_uint64))


class RegList(ctypes.Structure):
    """struct kvm_reg_list, with room for MAX_REGISTERS ids."""

    _fields_ = (("n", ctypes.c_uint64), ("ids", ctypes.c_uint64 * MAX_REGISTERS))


class Events(ctypes.Structure):
    """struct kvm_vcpu_events, of which nothing is changed."""

    _fields_ = (("content", ctypes.c_uint64 * 8),)


class CounterOffset(ctypes.Structure):
    """struct kvm_arm_counter_offset."""

    _fields_ = (("counter_offset", ctypes.c_uint64), ("reserved", ctypes.c_uint64))


class CreateDevice(ctypes.Structure):
    """struct kvm_create_device."""

    _fields_ = (("type", ctypes.c_uint32), ("fd", ctypes.c_uint32), ("flags", ctypes.c_uint32))


class DeviceAttr(ctypes.Structure):
    """struct kvm_device_attr."""

    _fields_ = (
        ("flags", ctypes.c_uint32),
        ("group", ctypes.c_uint32),
        ("attr", ctypes.c_uint64),
        ("addr", ctypes.c_uint64),
    )


class Request(enum.IntEnum):
    """ioctl requests on a VM, a vCPU or a device; KVM_GET_REG_LIST counts its head alone."""

    KVM_SET_MP_STATE = iow(KVM, 0x99, ctypes.sizeof(MpState))
    KVM_GET_VCPU_EVENTS = ior(KVM, 0x9F, ctypes.sizeof(Events))
    KVM_SET_VCPU_EVENTS = iow(KVM, 0xA0, ctypes.sizeof(Events))
    KVM_GET_ONE_REG = iow(KVM, 0xAB, ctypes.sizeof(OneReg))
    KVM_SET_ONE_REG = iow(KVM, 0xAC, ctypes.sizeof(OneReg))
    KVM_ARM_VCPU_INIT = iow(KVM, 0xAE, ctypes.sizeof(VcpuInit))
    KVM_GET_REG_LIST = iowr(KVM, 0xB0, 8)
    KVM_ARM_SET_COUNTER_OFFSET = iow(KVM, 0xB5, ctypes.sizeof(CounterOffset))
    KVM_CREATE_DEVICE = iowr(KVM, 0xE0, ctypes.sizeof(CreateDevice))
    KVM_SET_DEVICE_ATTR = iow(KVM, 0xE1, ctypes.sizeof(DeviceAttr))
    KVM_GET_DEVICE_ATTR = iow(KVM, 0xE2, ctypes.sizeof(DeviceAttr))


class SystemEvent(enum.IntEnum):
    """What a guest asked of PSCI that ends it: KVM_SYSTEM_EVENT_*."""

    SHUTDOWN = 1
    RESET = 2
    CRASH = 3


def core(offset: int) -> int:
    """Return the id of a 64-bit core register.

    Args:
        offset: Its offset in struct kvm_regs, in bytes.

    Returns:
        The id for KVM_GET_ONE_REG.

    Source: Documentation/virt/kvm/api.rst, KVM_SET_ONE_REG.
    """
    return 0x6030_0000_0010_0000 | offset // 4


def system(op0: int, op1: int, crn: int, crm: int, op2: int) -> int:  # as the manual writes it
    """Return the id of a system register.

    Args:
        op0: First operand, as the Arm manual writes the register's encoding.
        op1: Second operand.
        crn: CRn.
        crm: CRm.
        op2: Last operand.

    Returns:
        The id for KVM_GET_ONE_REG.

    Source: Documentation/virt/kvm/api.rst, KVM_SET_ONE_REG.
    """
    return 0x6030_0000_0013_0000 | op0 << 14 | op1 << 11 | crn << 7 | crm << 3 | op2


REGISTERS = {
    **{f"x{n}": core(8 * n) for n in range(31)},
    "sp": core(0xF8),
    "pc": core(0x100),
    "pstate": core(0x108),
    "sp_el1": core(0x110),
    "elr_el1": core(0x118),
    "sctlr_el1": system(3, 0, 1, 0, 0),
    "ttbr0_el1": system(3, 0, 2, 0, 0),
    "ttbr1_el1": system(3, 0, 2, 0, 1),
    "tcr_el1": system(3, 0, 2, 0, 2),
    "esr_el1": system(3, 0, 5, 2, 0),
    "far_el1": system(3, 0, 6, 0, 0),
    "vbar_el1": system(3, 0, 12, 0, 0),
}


def get_register(vcpu: int, name: str) -> int:
    """Read one register of a vCPU that does not run.

    Args:
        vcpu: The vCPU's descriptor.
        name: A name in REGISTERS.

    Returns:
        Its value, 64 bits.
    """
    value = ctypes.c_uint64()
    call(vcpu, Request.KVM_GET_ONE_REG, OneReg(id=REGISTERS[name], addr=ctypes.addressof(value)))
    return value.value


def set_register(vcpu: int, name: str, value: int) -> None:
    """Write one register of a vCPU that does not run.

    Args:
        vcpu: The vCPU's descriptor.
        name: A name in REGISTERS.
        value: 64 bits.
    """
    content = ctypes.c_uint64(value)
    call(vcpu, Request.KVM_SET_ONE_REG, OneReg(id=REGISTERS[name], addr=ctypes.addressof(content)))


def set_attribute(device: int, group: int, attribute: int, value: int | None = None) -> None:
    """Set one attribute of an in-kernel device.

    Args:
        device: The device's descriptor.
        group: KVM_DEV_ARM_VGIC_GRP_*, for the interrupt controller.
        attribute: The attribute in that group.
        value: What it becomes; None for an attribute that is a command.

    Source: Documentation/virt/kvm/devices/arm-vgic-v3.rst.
    """
    content = ctypes.c_uint64(value or 0)
    call(
        device,
        Request.KVM_SET_DEVICE_ATTR,
        DeviceAttr(
            group=group, attr=attribute, addr=0 if value is None else ctypes.addressof(content)
        ),
    )


def get_attribute(device: int, group: int, attribute: int, size: int) -> int:
    """Read one attribute of an in-kernel device.

    Args:
        device: The device's descriptor.
        group: KVM_DEV_ARM_VGIC_GRP_*, for the interrupt controller.
        attribute: The attribute in that group.
        size: Bytes of the value: 4 or 8.

    Returns:
        The value.

    Source: Documentation/virt/kvm/devices/arm-vgic-v3.rst.
    """
    content = ctypes.create_string_buffer(size)
    attr = DeviceAttr(group=group, attr=attribute, addr=ctypes.addressof(content))
    call(device, Request.KVM_GET_DEVICE_ATTR, attr)
    return int.from_bytes(content.raw, "little")


@contextmanager
def scratch() -> Iterator[tuple[int, int]]:
    """Make a VM and a vCPU that never run, for as long as the block lasts.

    Yields:
        The descriptors of the VM and of the vCPU.
    """
    device = kvm.open_device()
    vm = call(device, kvm.Request.KVM_CREATE_VM, 0)
    vcpu = call(vm, kvm.Request.KVM_CREATE_VCPU, 0)
    call(vcpu, Request.KVM_ARM_VCPU_INIT, VcpuInit(target=TARGET_GENERIC_V8))
    try:
        yield vm, vcpu
    finally:
        for fd in (vcpu, vm, device):
            os.close(fd)
