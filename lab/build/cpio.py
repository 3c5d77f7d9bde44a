# SPDX-License-Identifier: Apache-2.0
"""Writing newc cpio archives, the same bits for the same contents."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

_ALIGN = 4
_TRAILER = "TRAILER!!!"


@dataclass(frozen=True, slots=True)
class File:
    """One file of an archive."""

    content: bytes
    mode: int = 0o644


def archive(files: Mapping[str, File]) -> bytes:
    """Return an uncompressed archive of `files`, by path, with the folders that they need."""
    folders = {str(parent) for name in files for parent in PurePosixPath(name).parents} - {"."}
    entries = {name: _entry(name, stat.S_IFDIR | 0o755, b"") for name in folders}
    entries |= {
        name: _entry(name, stat.S_IFREG | file.mode, file.content) for name, file in files.items()
    }
    ordered = b"".join(entries[name] for name in sorted(entries))
    whole = ordered + _entry(_TRAILER, 0, b"")
    return whole + bytes(-len(whole) % 512)


def _entry(name: str, mode: int, content: bytes) -> bytes:
    """Inode 0 and one link for all: the kernel only minds for hard links."""
    path = name.encode() + b"\0"
    fields = (0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + path
    return head + bytes(-len(head) % _ALIGN) + content + bytes(-len(content) % _ALIGN)
