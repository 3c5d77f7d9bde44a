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

MAGIC, VERSION = "labvmm-given", 2
HOST_TSC = 8  # KVM_CLOCK_HOST_TSC: it said at which TSC


class Given(NamedTuple):
    """What is needed to make the guest again, beside its vCPUs' records and its RAM."""

    vcpus: int
    serial: bytearray
    irqchips: tuple[bytes, ...]
    pit: bytes
    clock_ns: int
    clock_tsc: int
    tsc_khz: int
    ram: RamKind
    orphan: Policy | None  # of one that may outlive its VMM, too


def give(guest: Machine) -> tuple[dict[str, object], list[Record]]:
    """Read all of a guest, which is paused for good: somebody else is going to run it.

    If something cannot be read, it runs on.

    Raises:
        VmmError: It is of a kind that cannot be given away, or cannot just now.
    """
    if guest.protected:
        raise VmmError("a protected guest cannot be given to the caretaker: it may not be read")
    guest.pause()
    try:
        said, records = _all_of(guest)
    except (OSError, VmmError):
        guest.resume()
        raise
    _note(guest, away=True)
    return said, records


def _all_of(guest: Machine) -> tuple[dict[str, object], list[Record]]:
    for vcpu in guest.vcpus:
        vcpu.settle()
    records = [vcpu_record.taken(vcpu.fd) for vcpu in guest.vcpus]
    clock = kvm.ClockData()
    call(guest.vm, kvm.Request.KVM_GET_CLOCK, clock)
    if not clock.flags & HOST_TSC:
        raise VmmError("KVM does not say at which TSC its clock was read")
    chips = [IrqChip(chip_id=n) for n in IRQCHIPS]
    for chip in chips:
        call(guest.vm, Request.KVM_GET_IRQCHIP, chip)
    pit = Pit()
    call(guest.vm, Request.KVM_GET_PIT2, pit)
    said: dict[str, object] = {
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
        "orphan": guest.lasting.policy if guest.lasting else None,
    }
    return said, records


def take_back(guest: Machine, records: list[Record]) -> None:
    """Go on with a guest that was given, and has been taken back from who ran it."""
    for vcpu, one in zip(guest.vcpus, records, strict=True):
        vcpu_record.put_again(vcpu.fd, one)
    _note(guest, away=False)
    guest.resume()


def _note(guest: Machine, *, away: bool) -> None:
    """Note that it runs elsewhere, or not; also for who adopts the VM when this process is gone."""
    guest.given = away
    if guest.lasting:
        guest.lasting.journal.given = away


def read(fd: int) -> Given:
    """Understand it, whole.

    Raises:
        VmmError: It is none, or of another version.
    """
    try:
        said = json.loads(os.pread(fd, os.fstat(fd).st_size, 0).rstrip(b"\0"))
    except ValueError as e:
        raise _no_guest(e) from e
    return understood(said)


def understood(said: Mapping[str, object]) -> Given:
    """Understand it, whole.

    Raises:
        VmmError: It is none, or of another version.
    """
    try:
        if (said["magic"], said["version"]) != (MAGIC, VERSION):
            raise VmmError(f"the guest was given by version {said['version']}, not {VERSION}")
        chips = said["irqchips"]
        return Given(
            vcpus=int(str(said["vcpus"])),
            serial=bytearray(_bytes(said["serial"])),
            irqchips=tuple(_bytes(chip) for chip in (chips if isinstance(chips, list) else [])),
            pit=_bytes(said["pit"]),
            clock_ns=int(str(said["clock_ns"])),
            clock_tsc=int(str(said["clock_tsc"])),
            tsc_khz=int(str(said["tsc_khz"])),
            ram=RamKind(str(said["ram"])),
            orphan=Policy[str(said["orphan"]).upper()] if said["orphan"] else None,
        )
    except (ValueError, KeyError, TypeError) as e:
        raise _no_guest(e) from e


def _no_guest(e: Exception) -> VmmError:
    return VmmError(f"what was preserved is no guest: {type(e).__name__}: {e}")


def put_devices(vm: int, given: Given) -> None:
    """Make the interrupt controllers and the PIT of a new VM what they were."""
    for content in given.irqchips:
        call(vm, Request.KVM_SET_IRQCHIP, IrqChip.from_buffer_copy(content))
    call(vm, Request.KVM_SET_PIT2, Pit.from_buffer_copy(given.pit))


def put_clock(vm: int, given: Given, tsc: int) -> None:
    """Set kvmclock to what it would be now, at this TSC, had this been its VM all the time.

    The guest does not run, and the clock goes on from here: it only ever jumps forward, by less
    than the time that this takes. A VM that has never run does not say of itself at which TSC.
    """
    ticks = tsc - given.clock_tsc
    if ticks < 0:
        raise VmmError(f"the TSC fell back by {-ticks} over the kexec")
    clock = kvm.ClockData(clock=given.clock_ns + ticks * 1_000_000 // given.tsc_khz)
    call(vm, Request.KVM_SET_CLOCK, clock)


def records_of(texts: object) -> list[Record]:
    """Read records that came as text."""
    return [vcpu_record.read(_bytes(text)) for text in (texts if isinstance(texts, list) else [])]


def as_text(one: Record) -> str:
    """Write a record as text."""
    return _text(ctypes.string_at(ctypes.addressof(one), ctypes.sizeof(one)))


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _bytes(text: object) -> bytes:
    return base64.b64decode(str(text), validate=True)
