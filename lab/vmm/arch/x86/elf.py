# SPDX-License-Identifier: Apache-2.0
"""Reads an ELF kernel: what goes where, and its PVH entry; a malformed file is a clear error."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ...errors import VmmError

PHYS32_ENTRY = 18
PT_LOAD = 1
PT_NOTE = 4
MACHINES = {3: "x86", 62: "x86-64", 183: "arm64"}
_CLASS_32 = 1
_HEADS = {1: "<HHIIIIIHHHHHH", 2: "<HHIQQQIHHHHHH"}
_PROGRAMS = {1: "<IIIIIIII", 2: "<IIQQQQQQ"}


class Segment(NamedTuple):
    """Some bytes of the file and where they go; the rest up to `memory` is zero."""

    address: int
    content: bytes
    memory: int


class Elf(NamedTuple):
    """A kernel ready to load."""

    name: str
    machine: str
    segments: tuple[Segment, ...]
    pvh_entry: int | None


class _Program(NamedTuple):
    kind: int
    offset: int
    address: int
    in_file: int
    in_memory: int
    align: int


def read(path: Path) -> Elf:
    """Read an ELF file.

    Raises:
        VmmError: It cannot be read, or is not what a guest can be started from.
    """
    try:
        content = path.read_bytes()
    except OSError as e:
        raise VmmError(f"kernel '{path}' cannot be read: {e.strerror}") from e
    return parse(content, str(path))


def parse(content: bytes, name: str) -> Elf:
    """Parse the content of an ELF file; see `read`."""
    _refuse_what_is_no_elf(content, name)
    kind = content[4]
    if kind not in _HEADS or content[5] != 1:
        raise VmmError(f"kernel '{name}' is ELF of class {kind}, byte order {content[5]}")
    try:
        head = struct.unpack_from(_HEADS[kind], content, 16)
        programs = tuple(_programs(content, kind, head))
    except struct.error as e:
        raise VmmError(f"kernel '{name}' is cut off in its ELF headers") from e
    segments = tuple(
        Segment(p.address, _piece(content, p, name), p.in_memory)
        for p in programs
        if p.kind == PT_LOAD and p.in_memory
    )
    if not segments:
        raise VmmError(f"kernel '{name}' has nothing to load", hint="is it a relocatable .o file?")
    notes = [_piece(content, p, name) for p in programs if p.kind == PT_NOTE]
    aligns = [8 if p.align == 8 else 4 for p in programs if p.kind == PT_NOTE]  # noqa: PLR2004
    machine = MACHINES.get(head[1], f"machine {head[1]}")
    return Elf(name, machine, segments, _pvh_entry(notes, aligns, name))


def _refuse_what_is_no_elf(content: bytes, name: str) -> None:
    if content[:4] == b"\x7fELF" and len(content) > 16:  # noqa: PLR2004
        return
    if content[0x202:0x206] == b"HdrS":
        raise VmmError(
            f"kernel '{name}' is a bzImage; labvmm boots by PVH from ELF",
            hint="give it the vmlinux of the same build (stripped is fine)",
        )
    begins = content[:4].hex(" ") or "nothing"
    raise VmmError(f"kernel '{name}' is not an ELF file: it begins with {begins}")


def _programs(content: bytes, kind: int, head: tuple[int, ...]) -> Iterator[_Program]:
    start, size, count = head[4], head[8], head[9]
    for n in range(count):
        f = struct.unpack_from(_PROGRAMS[kind], content, start + n * size)
        if kind == _CLASS_32:
            yield _Program(f[0], f[1], f[3], f[4], f[5], f[7])
        else:
            yield _Program(f[0], f[2], f[4], f[5], f[6], f[7])


def _piece(content: bytes, program: _Program, name: str) -> bytes:
    end = program.offset + program.in_file
    if end > len(content) or program.in_file > max(program.in_memory, 0) > 0:
        raise VmmError(
            f"kernel '{name}' is cut off: a segment ends at {end:#x}, the file at {len(content):#x}"
        )
    return content[program.offset : end]


def _pvh_entry(notes: list[bytes], aligns: list[int], name: str) -> int | None:
    for note, align in zip(notes, aligns, strict=True):
        for owner, kind, content in _notes(note, align):
            if owner == b"Xen\0" and kind == PHYS32_ENTRY:
                if len(content) not in {4, 8}:
                    raise VmmError(f"kernel '{name}': PVH entry note of {len(content)} bytes")
                return int.from_bytes(content, "little")
    return None


def _notes(note: bytes, align: int) -> Iterator[tuple[bytes, int, bytes]]:
    at = 0
    while at + 12 <= len(note):
        owner_size, size, kind = struct.unpack_from("<III", note, at)
        owner_at = at + 12
        at = _up(owner_at + owner_size, align)
        yield note[owner_at : owner_at + owner_size], kind, note[at : at + size]
        at = _up(at + size, align)


def _up(value: int, align: int) -> int:
    return -(-value // align) * align
