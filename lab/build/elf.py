# SPDX-License-Identifier: Apache-2.0
"""Reading the notes of an ELF file: the build id, and the entry point that PVH needs."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.errors import ConfigError

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_NOTE = struct.Struct("<III")
_HEADER_32 = struct.Struct("<16sHHIIIIIHHHHHH")
_MAGIC, _MAGIC_32 = b"\x7fELF\x02\x01", b"\x7fELF\x01\x01"
_PT_NOTE = 4
_NT_GNU_BUILD_ID = 3
_XEN_ELFNOTE_PHYS32_ENTRY = 18


@dataclass(frozen=True, slots=True)
class Note:
    """One ELF note: its owner, its kind among the owner's, and its content."""

    owner: str
    kind: int
    text: bytes


def notes(path: Path) -> tuple[Note, ...]:
    """Read the notes in the program headers of a 64-bit little-endian ELF file.

    Raises:
        ConfigError: The file is none.
    """
    with path.open("rb") as file:
        start = file.read(_HEADER.size)
        if len(start) < _HEADER.size or start[:6] != _MAGIC:
            raise ConfigError(f"'{path}' is not a 64-bit little-endian ELF file")
        _, _, _, _, _, table, _, _, _, size, count, *_ = _HEADER.unpack(start)
        found: list[Note] = []
        for index in range(count):
            file.seek(table + index * size)
            kind, _, offset, _, _, length, _, align = _SEGMENT.unpack(file.read(_SEGMENT.size))
            if kind == _PT_NOTE:
                file.seek(offset)
                found += _in_segment(file.read(length), 8 if align == 8 else 4)  # noqa: PLR2004
    return tuple(found)


def build_id(path: Path) -> str:
    """Return the GNU build id in hex; a running kernel shows the same in /sys/kernel/notes.

    Raises:
        ConfigError: The file has none.
    """
    for note in notes(path):
        if note.owner == "GNU" and note.kind == _NT_GNU_BUILD_ID:
            return note.text.hex()
    raise ConfigError(
        f"'{path}' has no GNU build id, so a running kernel could not be identified",
        hint="link it with --build-id, as the kernel's own makefiles do",
    )


def build_id_within(path: Path) -> str:
    """Return the GNU build id of an ELF file, or of a raw image that has the note somewhere.

    A raw kernel image contains whole ELF files, too: each vDSO, of 64 and of 32 bits, has a build
    id of its own.

    Raises:
        ConfigError: The file has none.
    """
    raw = path.read_bytes()
    if raw.startswith(_MAGIC):
        return build_id(path)
    head = _NOTE.pack(4, 20, _NT_GNU_BUILD_ID) + b"GNU\0"
    others = [
        *(_extent(raw, at) for at in _finds(raw, _MAGIC)),
        *(_extent_of_32(raw, at) for at in _finds(raw, _MAGIC_32)),
    ]
    for at in _finds(raw, head):
        if not any(at in other for other in others):
            return raw[at + len(head) :][:20].hex()
    raise ConfigError(f"'{path}' has no GNU build id")


def _finds(raw: bytes, what: bytes) -> Iterator[int]:
    at = raw.find(what)
    while at >= 0:
        yield at
        at = raw.find(what, at + 1)


def _extent(raw: bytes, at: int) -> range:
    """Return where an ELF file that begins at `at` lies: its section headers are its end."""
    if len(raw) - at < _HEADER.size:
        return range(0)
    _, _, _, _, _, _, sections, _, _, _, _, size, count, _ = _HEADER.unpack_from(raw, at)
    return range(at, at + sections + size * count)


def _extent_of_32(raw: bytes, at: int) -> range:
    """Return the same of an ELF file of 32 bits: compat processes have a vDSO of their own."""
    if len(raw) - at < _HEADER_32.size:
        return range(0)
    _, _, _, _, _, _, sections, _, _, _, _, size, count, _ = _HEADER_32.unpack_from(raw, at)
    return range(at, at + sections + size * count)


def boots_by_pvh(path: Path) -> bool:
    """Return whether an x86 kernel has the note that lets a VMM start it without a boot loader."""
    return any(n.owner == "Xen" and n.kind == _XEN_ELFNOTE_PHYS32_ENTRY for n in notes(path))


def _in_segment(raw: bytes, align: int) -> Iterator[Note]:
    at = 0
    while at + _NOTE.size <= len(raw):
        owner, text, kind = _NOTE.unpack_from(raw, at)
        at += _NOTE.size
        name = raw[at : at + owner].rstrip(b"\0").decode("ascii", "replace")
        at = _up(at + owner, align)
        yield Note(name, kind, raw[at : at + text])
        at = _up(at + text, align)


def _up(at: int, align: int) -> int:
    return (at + align - 1) // align * align
