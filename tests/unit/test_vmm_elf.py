# SPDX-License-Identifier: Apache-2.0
"""labvmm's ELF reader: what it loads, and what it says of files that are none."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from lab.vmm.arch.x86 import elf
from lab.vmm.errors import VmmError

ENTRY = 0x100020
CODE = b"\xf4" * 32


def note(owner: bytes, kind: int, content: bytes) -> bytes:
    padded = content + bytes(-len(content) % 4)
    return struct.pack("<III", len(owner), len(content), kind) + owner + padded


def elf64(*, notes: bytes = b"", segment: bytes = CODE, in_memory: int = 4096) -> bytes:
    """Make a 64-bit ELF of one segment at 1 MiB, with a note segment behind it."""
    headers = 64 + 2 * 56
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    head = struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, ENTRY, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    size = len(segment)
    load = struct.pack("<IIQQQQQQ", 1, 5, headers, 1 << 20, 1 << 20, size, in_memory, 4096)
    place = headers + size
    told = struct.pack("<IIQQQQQQ", 4, 4, place, 0, 0, len(notes), len(notes), 4)
    return ident + head + load + told + segment + notes


def elf32() -> bytes:
    """Make a 32-bit ELF payload with its PVH note."""
    notes = note(b"Xen\0", elf.PHYS32_ENTRY, struct.pack("<I", ENTRY))
    headers = 52 + 2 * 32
    ident = b"\x7fELF\x01\x01\x01" + bytes(9)
    head = struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, ENTRY, 52, 0, 0, 52, 32, 2, 0, 0, 0)
    load = struct.pack("<IIIIIIII", 1, headers, 1 << 20, 1 << 20, len(CODE), 4096, 5, 4096)
    told = struct.pack("<IIIIIIII", 4, headers + len(CODE), 0, 0, len(notes), len(notes), 4, 4)
    return ident + head + load + told + CODE + notes


PVH = note(b"Xen\0", elf.PHYS32_ENTRY, struct.pack("<Q", ENTRY))


def test_vmlinux_loads_by_physical_address_enters_by_pvh_note() -> None:
    notes = note(b"GNU\0", 3, b"id") + note(b"Xen\0", 19, bytes(12)) + PVH
    kernel = elf.parse(elf64(notes=notes), "vmlinux")
    assert kernel.pvh_entry == ENTRY
    assert kernel.machine == "x86-64"
    assert kernel.segments == (elf.Segment(1 << 20, CODE, 4096),)


def test_a_32_bit_payload_is_entered_by_its_pvh_note() -> None:
    kernel = elf.parse(elf32(), "spinner.elf")
    assert (kernel.pvh_entry, kernel.machine) == (ENTRY, "x86")
    assert kernel.segments[0].content == CODE


def test_a_kernel_without_the_note_has_no_pvh_entry() -> None:
    assert elf.parse(elf64(), "vmlinux").pvh_entry is None


def test_a_bzimage_is_refused_by_name() -> None:
    image = bytearray(0x400)
    image[0:2], image[0x202:0x206] = b"MZ", b"HdrS"
    with pytest.raises(VmmError, match=r"'bzImage' is a bzImage") as caught:
        elf.parse(bytes(image), "bzImage")
    assert "vmlinux" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(b"", "it begins with nothing", id="empty"),
        pytest.param(b"#!/bin/sh\n", "it begins with 23 21 2f 62", id="script"),
        pytest.param(elf64()[:80], "cut off in its ELF headers", id="headers cut"),
        pytest.param(elf64()[:-8], "cut off: a segment ends", id="segment cut"),
        pytest.param(elf64(in_memory=4), "cut off: a segment ends", id="more in file"),
        pytest.param(elf64(in_memory=0, segment=b""), "nothing to load", id="no load"),
        pytest.param(b"\x7fELF\x02\x02" + elf64()[6:], "byte order 2", id="big-endian"),
        pytest.param(
            elf64(notes=note(b"Xen\0", elf.PHYS32_ENTRY, b"xx")), "note of 2 bytes", id="odd note"
        ),
    ],
)
def test_a_malformed_kernel_is_a_clear_error(content: bytes, says: str) -> None:
    with pytest.raises(VmmError, match=says):
        elf.parse(content, "k")


def test_a_note_that_claims_to_be_longer_than_it_is_does_no_harm() -> None:
    lie = struct.pack("<III", 4, 1 << 30, 1) + b"Xen\0"
    assert elf.parse(elf64(notes=lie), "k").pvh_entry is None


def test_a_kernel_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(VmmError, match="cannot be read: No such file"):
        elf.read(tmp_path / "vmlinux")
