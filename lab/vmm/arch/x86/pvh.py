# SPDX-License-Identifier: Apache-2.0
"""What a PVH kernel finds at ebx: start info, memory map, command line, and the initrd."""

from __future__ import annotations

import struct
from typing import NamedTuple

from ...errors import VmmError

START_INFO = 0x6000
MODULES = 0x6040
MEMORY_MAP = 0x7000
CMDLINE = 0x20000
CMDLINE_MAX = 2047  # COMMAND_LINE_SIZE of x86 Linux, less the zero at its end
MAGIC = 0x336EC578
LOW_RAM_END = 0x9FC00
HIGH_RAM = 0x100000
RAM, RESERVED = 1, 2


class Piece(NamedTuple):
    """Bytes that go to a guest-physical address."""

    address: int
    content: bytes
    what: str


def memory_map(size: int) -> list[tuple[int, int, int]]:
    """Describe RAM as a PC has it: a hole for video and BIOS below 1 MiB."""
    return [
        (0, LOW_RAM_END, RAM),
        (LOW_RAM_END, HIGH_RAM - LOW_RAM_END, RESERVED),
        (HIGH_RAM, size - HIGH_RAM, RAM),
    ]


def pieces(cmdline: str, size: int, initrd: tuple[int, int] | None) -> list[Piece]:
    """Lay out all that a PVH kernel starts with.

    Args:
        cmdline: The kernel's command line.
        size: Bytes of guest RAM.
        initrd: Its guest-physical address and its length in bytes; None without.

    Returns:
        The bytes to put into RAM, and where.

    Raises:
        VmmError: The command line is too long or not ASCII.

    Source: Xen, docs/misc/pvh.pandoc.
    """
    if not cmdline.isascii() or len(cmdline) > CMDLINE_MAX:
        raise VmmError(
            f"command line of {len(cmdline)} characters; at most {CMDLINE_MAX}, all ASCII"
        )
    entries = memory_map(size)
    info = struct.pack(
        "<IIIIQQQQII",
        *(MAGIC, 1, 0, 1 if initrd else 0),
        *(MODULES if initrd else 0, CMDLINE, 0),
        *(MEMORY_MAP, len(entries), 0),
    )
    found = [
        Piece(START_INFO, info, "PVH start info"),
        Piece(MEMORY_MAP, b"".join(struct.pack("<QQII", *e, 0) for e in entries), "memory map"),
        Piece(CMDLINE, cmdline.encode() + b"\0", "command line"),
    ]
    if initrd:
        found.append(Piece(MODULES, struct.pack("<QQQQ", *initrd, 0, 0), "PVH module list"))
    return found
