# SPDX-License-Identifier: Apache-2.0
"""The Intel MultiProcessor table, by which a guest without ACPI finds its CPUs and its IOAPIC."""

from __future__ import annotations

import struct

from ...errors import VmmError

ADDRESS = 0x9FC00  # the last KiB of base memory: one of the three places where Linux looks
ROOM = 0x400
LAPIC, IOAPIC = 0xFEE00000, 0xFEC00000
MAX_CPUS = 32
_INT, _NMI, _EXTINT = 0, 1, 3
_ISA_BUS = 0


def _checksum(table: bytes | bytearray) -> int:
    return -sum(table) & 0xFF


def _entries(vcpus: int) -> list[bytes]:
    ioapic_id = vcpus
    cpus = [
        struct.pack("<BBBBIIQ", 0, n, 0x14, 1 | (2 if n == 0 else 0), 0x600, 0x201, 0)
        for n in range(vcpus)
    ]
    bus = struct.pack("<BB6s", 1, _ISA_BUS, b"ISA   ")
    ioapic = struct.pack("<BBBBI", 2, ioapic_id, 0x11, 1, IOAPIC)
    lines = [
        struct.pack("<BBHBBBB", 3, _INT, 0, _ISA_BUS, irq, ioapic_id, irq) for irq in range(16)
    ]
    local = [
        struct.pack("<BBHBBBB", 4, _EXTINT, 0, _ISA_BUS, 0, 0, 0),
        struct.pack("<BBHBBBB", 4, _NMI, 0, _ISA_BUS, 0, 0xFF, 1),
    ]
    return [*cpus, bus, ioapic, *lines, *local]


def build(vcpus: int) -> bytes:
    """Make the floating pointer and the table behind it, to put at ADDRESS.

    Args:
        vcpus: How many CPUs the guest has.

    Returns:
        The bytes.

    Raises:
        VmmError: More CPUs than the table has room for.

    Source: Intel MultiProcessor Specification 1.4, chapter 4.
    """
    if not 1 <= vcpus <= MAX_CPUS:
        raise VmmError(f"{vcpus} vCPUs; 1 to {MAX_CPUS} are possible")
    entries = _entries(vcpus)
    body = b"".join(entries)
    size = 44 + len(body)
    head = struct.pack(
        "<4sHBB8s12sIHHIHBB",
        *(b"PCMP", size, 4, 0, b"CARETAKR", b"LABVMM      "),
        *(0, 0, len(entries), LAPIC, 0, 0, 0),
    )
    table = bytearray(head + body)
    table[7] = _checksum(table)
    pointer = bytearray(struct.pack("<4sIBBB5s", b"_MP_", ADDRESS + 16, 1, 4, 0, bytes(5)))
    pointer[10] = _checksum(pointer)
    return bytes(pointer + table)
