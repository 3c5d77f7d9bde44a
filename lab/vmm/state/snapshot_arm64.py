# SPDX-License-Identifier: Apache-2.0
"""An arm64 guest's vCPUs, interrupt controller and counter, as words: read, and put back.

Sources: Documentation/virt/kvm/api.rst (KVM_GET_REG_LIST, KVM_ARM_SET_COUNTER_OFFSET) and
devices/arm-vgic-v3.rst; offsets are those of the GICv3 architecture (IHI 0069).
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ..arch.arm64.board import affinity
from ..errors import VmmError
from ..kvm import arm64 as kvm_arm64
from ..kvm import common as kvm
from ..kvm.arm64 import Request, get_attribute, set_attribute
from ..kvm.ioctl import call
from ..machine.driver import Driver
from ..machine.machine import Machine

GICD_CTLR, GICD_TYPER, GICD_IIDR, GICD_IROUTER = 0x0, 0x4, 0x8, 0x6000
SGI_BASE = 0x1_0000  # of a redistributor's second frame
GROUP, ENABLE, PENDING, ACTIVE, PRIORITY, CONFIG = 0x80, 0x100, 0x200, 0x300, 0x400, 0xC00
PRIVATE = 32  # interrupts that each CPU has of its own
ICC_CTLR = 3, 0, 12, 12, 4
ICC = ((3, 0, 12, 12, 5), ICC_CTLR, (3, 0, 12, 12, 6), (3, 0, 12, 12, 7),  # SRE, IGRPEN0, IGRPEN1
       (3, 0, 4, 6, 0), (3, 0, 12, 8, 3), (3, 0, 12, 12, 3))  # PMR, BPR0, BPR1  # fmt: skip
ACTIVE_PRIORITIES = {5: 1, 6: 2, 7: 4}  # registers of each group, by bits of priority
CNT = kvm_arm64.system(3, 3, 14, 3, 2)  # KVM_REG_ARM_TIMER_CNT


class Field(NamedTuple):
    """One attribute of the interrupt controller, and how large it is."""

    group: int
    attribute: int
    size: int = 4


def save(guest: Machine) -> dict[str, object]:
    """Read all of a paused guest but its RAM and its serial port."""
    gic, fds = guest.driver.fds()["gic"], [vcpu.fd for vcpu in guest.vcpus]
    physical = _physical_counter()  # first: so the guest's counter can only come to jump forward
    return {
        "counter_offset": (physical - _register(fds[0], CNT)) % (1 << 64),
        "iidr": get_attribute(gic, kvm_arm64.GROUP_DISTRIBUTOR, GICD_IIDR, 4),
        "gic": [get_attribute(gic, *field) for field in _fields(gic, len(fds))],
        "vcpus": [
            {
                "mp_state": _mp_state(fd),
                "events": bytes(_events(fd)).hex(),
                "registers": {f"{i:#x}": f"{_register(fd, i):#x}" for i in _ids(fd)},
            }
            for fd in fds
        ],
    }


def restore_vm(vm: int, _: Driver, state: Mapping[str, Any]) -> None:
    """Restore the guest's counter by its offset from the physical one: its time has gone on."""
    offset = kvm_arm64.CounterOffset(counter_offset=int(state["counter_offset"]))
    call(vm, Request.KVM_ARM_SET_COUNTER_OFFSET, offset)


def restore_vcpus(_: int, driver: Driver, fds: list[int], state: Mapping[str, Any]) -> None:
    """Restore vCPUs and interrupt controller.

    Raises:
        VmmError: This kernel's interrupt controller is another one.
    """
    for index, fd in enumerate(fds):
        driver.prepare_vcpu(fd, index, len(fds))  # and with the last one, the controller
    gic = driver.fds()["gic"]
    iidr = get_attribute(gic, kvm_arm64.GROUP_DISTRIBUTOR, GICD_IIDR, 4)
    if iidr != state["iidr"]:
        raise VmmError(f"the guest's GIC was {state['iidr']:#x}, and this kernel's is {iidr:#x}")
    for fd, one in zip(fds, state["vcpus"], strict=True):
        for name, value in one["registers"].items():
            _put(fd, int(name, 0), int(value, 0))
        events = kvm_arm64.Events.from_buffer_copy(bytes.fromhex(one["events"]))
        call(fd, Request.KVM_SET_VCPU_EVENTS, events)
        call(fd, Request.KVM_SET_MP_STATE, kvm.MpState(mp_state=one["mp_state"]))
    for field, value in zip(_fields(gic, len(fds)), state["gic"], strict=True):
        set_attribute(gic, field.group, field.attribute, value)


def _fields(gic: int, vcpus: int) -> Iterator[Field]:
    """Yield the attributes of a controller, in the order in which they can be restored."""
    typer = get_attribute(gic, kvm_arm64.GROUP_DISTRIBUTOR, GICD_TYPER, 4)
    lines = 32 * ((typer & 0x1F) + 1)
    places = [affinity(index) << 32 for index in range(vcpus)]
    yield Field(kvm_arm64.GROUP_DISTRIBUTOR, GICD_CTLR)
    for irq in range(PRIVATE, lines):  # before they are pending: to whom they go
        for half in (0, 4):
            yield Field(kvm_arm64.GROUP_DISTRIBUTOR, GICD_IROUTER + 8 * irq + half)
    for place in places:
        yield Field(kvm_arm64.GROUP_REDISTRIBUTOR, place)  # GICR_CTLR
        yield from _lines(kvm_arm64.GROUP_REDISTRIBUTOR, place | SGI_BASE, place, 0, PRIVATE)
    yield from _lines(kvm_arm64.GROUP_DISTRIBUTOR, 0, 0, PRIVATE, lines)
    for place in places:
        bits = (get_attribute(gic, *_cpu(place, ICC_CTLR)) >> 8 & 7) + 1
        yield from (_cpu(place, register) for register in ICC)
        for n in reversed(range(ACTIVE_PRIORITIES.get(bits, 4))):
            yield _cpu(place, (3, 0, 12, 8, 4 + n))  # ICC_AP0Rn
            yield _cpu(place, (3, 0, 12, 9, n))  # ICC_AP1Rn


def _lines(group: int, base: int, place: int, first: int, end: int) -> Iterator[Field]:
    """Yield the attributes of interrupts `first` up to `end`; levels before what is pending."""

    def registers(register: int, bits: int) -> Iterator[Field]:
        for word in range(first * bits // 32, end * bits // 32):
            yield Field(group, base + register + 4 * word)

    yield from registers(GROUP, 1)
    yield from registers(ENABLE, 1)
    yield from registers(CONFIG, 2)
    for irq in range(first, end, 32):
        yield Field(kvm_arm64.GROUP_LEVEL_INFO, place | irq)
    yield from registers(PENDING, 1)
    yield from registers(ACTIVE, 1)
    yield from registers(PRIORITY, 8)


def _cpu(place: int, register: tuple[int, int, int, int, int]) -> Field:
    return Field(kvm_arm64.GROUP_CPU_SYSREGS, place | kvm_arm64.system(*register) & 0xFFFF, 8)


def _physical_counter() -> int:
    """Read the counter as a guest would whose counter has no offset."""
    with kvm_arm64.scratch() as (vm, vcpu):
        call(vm, Request.KVM_ARM_SET_COUNTER_OFFSET, kvm_arm64.CounterOffset())
        return _register(vcpu, CNT)


def _ids(fd: int) -> list[int]:
    listed = kvm_arm64.RegList(n=kvm_arm64.MAX_REGISTERS)
    call(fd, Request.KVM_GET_REG_LIST, listed)
    return list(listed.ids[: listed.n])


def _size(register: int) -> int:
    return 1 << (register >> 52 & 0xF)


def _register(fd: int, register: int) -> int:
    content = ctypes.create_string_buffer(_size(register))
    wanted = kvm_arm64.OneReg(id=register, addr=ctypes.addressof(content))
    call(fd, Request.KVM_GET_ONE_REG, wanted)
    return int.from_bytes(content.raw, "little")


def _put(fd: int, register: int, value: int) -> None:
    content = ctypes.create_string_buffer(value.to_bytes(_size(register), "little"))
    wanted = kvm_arm64.OneReg(id=register, addr=ctypes.addressof(content))
    try:
        call(fd, Request.KVM_SET_ONE_REG, wanted)
    except OSError as e:
        message = f"{e.strerror}: register {register:#x} cannot be {value:#x} under this kernel"
        raise OSError(e.errno, message) from e


def _mp_state(fd: int) -> int:
    state = kvm.MpState()
    call(fd, kvm.Request.KVM_GET_MP_STATE, state)
    return int(state.mp_state)


def _events(fd: int) -> kvm_arm64.Events:
    events = kvm_arm64.Events()
    call(fd, Request.KVM_GET_VCPU_EVENTS, events)
    return events
