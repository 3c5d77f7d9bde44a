# SPDX-License-Identifier: Apache-2.0
"""A whole x86-64 guest but for its RAM, in words that outlive its VMM and its host's kernel."""

from __future__ import annotations

import base64
import ctypes
import json
import os
from collections.abc import Mapping
from typing import NamedTuple

from ..errors import VmmError
from ..kvm import common as kvm
from ..kvm.async_run import Policy
from ..kvm.ioctl import call
from ..kvm.x86_state import IRQCHIPS, IrqChip, Pit, Request
from ..machine.machine import Machine
from ..machine.memory import RamKind
from . import vcpu_record
from .vcpu_record import Record

MAGIC, VERSION = "labvmm-vm", 2
HOST_TSC = 8  # KVM_CLOCK_HOST_TSC: it said at which TSC


class VmState(NamedTuple):
    """What restores the guest, besides its vCPUs' records and its RAM."""

    vcpus: int
    serial: bytearray
    irqchips: tuple[bytes, ...]
    pit: bytes
    clock_ns: int
    clock_tsc: int
    tsc_khz: int
    ram: RamKind
    orphan: Policy | None  # of one that may outlive its VMM, too


def hand_over(guest: Machine) -> tuple[dict[str, object], list[Record]]:
    """Pause a guest for good and read all of it: it will run elsewhere.

    If a part of it cannot be read, it resumes here.

    Args:
        guest: The guest.

    Returns:
        The VM's state, all JSON, and its vCPUs' records by index.

    Raises:
        VmmError: The guest is of a kind that cannot be handed over, or cannot just now.
    """
    if guest.protected:
        raise VmmError(
            "a protected guest cannot be handed over to the caretaker: its host may not read it"
        )
    guest.pause()
    try:
        description, records = _all_of(guest)
    except (OSError, VmmError):
        guest.resume()
        raise
    _note(guest, handed_over=True)
    return description, records


def _all_of(guest: Machine) -> tuple[dict[str, object], list[Record]]:
    for vcpu in guest.vcpus:
        vcpu.settle()
    records = [vcpu_record.capture(vcpu.fd) for vcpu in guest.vcpus]
    clock = kvm.ClockData()
    call(guest.vm, kvm.Request.KVM_GET_CLOCK, clock)
    if not clock.flags & HOST_TSC:
        raise VmmError("KVM_GET_CLOCK returned no host TSC with the clock")
    chips = [IrqChip(chip_id=n) for n in IRQCHIPS]
    for chip in chips:
        call(guest.vm, Request.KVM_GET_IRQCHIP, chip)
    pit = Pit()
    call(guest.vm, Request.KVM_GET_PIT2, pit)
    description: dict[str, object] = {
        "magic": MAGIC,
        "version": VERSION,
        "vcpus": len(records),
        "serial": _text(bytes(guest.driver.device_state())),
        "irqchips": [_text(bytes(chip)) for chip in chips],
        "pit": _text(bytes(pit)),
        "clock_ns": clock.clock,
        "clock_tsc": clock.host_tsc,
        "tsc_khz": records[0].tsc_khz,
        "ram": guest.ram.kind.value,
        "orphan": guest.orphanable.policy if guest.orphanable else None,
    }
    return description, records


def hand_back(guest: Machine, records: list[Record]) -> None:
    """Resume a guest that was handed over and has been stopped there.

    Args:
        guest: The guest.
        records: Its vCPUs' records by index, as they are now.
    """
    for vcpu, one in zip(guest.vcpus, records, strict=True):
        vcpu_record.restore_again(vcpu.fd, one)
    _note(guest, handed_over=False)
    guest.resume()


def _note(guest: Machine, *, handed_over: bool) -> None:
    """Note whether the guest runs elsewhere, also for an adopter of the VM."""
    guest.handed_over = handed_over
    if guest.orphanable:
        guest.orphanable.journal.handed_over = handed_over


def read(fd: int) -> VmState:
    """Read a VM's state, whole.

    Args:
        fd: The memfd that has it as JSON, padded with zeros to whole pages.

    Returns:
        The state.

    Raises:
        VmmError: The memfd has no such state, or one of another version.
    """
    try:
        description = json.loads(os.pread(fd, os.fstat(fd).st_size, 0).rstrip(b"\0"))
    except ValueError as e:
        raise _no_guest(e) from e
    return parse(description)


def parse(description: Mapping[str, object]) -> VmState:
    """Parse a VM's state, whole.

    Args:
        description: What `hand_over` returned.

    Returns:
        The state.

    Raises:
        VmmError: It is no such state, or one of another version.
    """
    try:
        if (description["magic"], description["version"]) != (MAGIC, VERSION):
            raise VmmError(
                f"the guest was handed over by version {description['version']}, not {VERSION}"
            )
        chips = description["irqchips"]
        return VmState(
            vcpus=int(str(description["vcpus"])),
            serial=bytearray(_bytes(description["serial"])),
            irqchips=tuple(_bytes(chip) for chip in (chips if isinstance(chips, list) else [])),
            pit=_bytes(description["pit"]),
            clock_ns=int(str(description["clock_ns"])),
            clock_tsc=int(str(description["clock_tsc"])),
            tsc_khz=int(str(description["tsc_khz"])),
            ram=RamKind(str(description["ram"])),
            orphan=Policy[str(description["orphan"]).upper()] if description["orphan"] else None,
        )
    except (ValueError, KeyError, TypeError) as e:
        raise _no_guest(e) from e


def _no_guest(e: Exception) -> VmmError:
    return VmmError(f"the preserved memfd has no guest's state: {type(e).__name__}: {e}")


def put_devices(vm: int, state: VmState) -> None:
    """Restore the interrupt controllers and the PIT of a new VM.

    Args:
        vm: The VM's descriptor.
        state: What they become.
    """
    for content in state.irqchips:
        call(vm, Request.KVM_SET_IRQCHIP, IrqChip.from_buffer_copy(content))
    call(vm, Request.KVM_SET_PIT2, Pit.from_buffer_copy(state.pit))


def put_clock(vm: int, state: VmState, tsc: int) -> None:
    """Set kvmclock to what it would be now, at this TSC, had this been its VM all the time.

    The guest does not run, and the clock goes on from here: it only ever jumps forward, by less
    than the time that this takes. A VM that has never run does not say of itself at which TSC.

    Args:
        vm: The VM's descriptor.
        state: The clock when the guest was handed over.
        tsc: The host's TSC now, in ticks.

    Raises:
        VmmError: The TSC is lower than it was then.
    """
    ticks = tsc - state.clock_tsc
    if ticks < 0:
        raise VmmError(f"the TSC fell back by {-ticks} over the kexec")
    clock = kvm.ClockData(clock=state.clock_ns + ticks * 1_000_000 // state.tsc_khz)
    call(vm, Request.KVM_SET_CLOCK, clock)


def parse_records(texts: object) -> list[Record]:
    """Parse records that came as text.

    Args:
        texts: A list of them.

    Returns:
        The records.

    Raises:
        VmmError: One is no record, or one of another version.
    """
    return [vcpu_record.parse(_bytes(text)) for text in (texts if isinstance(texts, list) else [])]


def record_as_text(one: Record) -> str:
    """Return a record as text.

    Args:
        one: The record.

    Returns:
        Its bytes in base64.
    """
    return _text(ctypes.string_at(ctypes.addressof(one), ctypes.sizeof(one)))


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _bytes(text: object) -> bytes:
    return base64.b64decode(str(text), validate=True)
