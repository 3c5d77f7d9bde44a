# SPDX-License-Identifier: Apache-2.0
"""A machine's memory as the file that its QEMU keeps it in, opened to be read and nothing else.

A search of 2 GiB by peeks takes half a minute; a file has no monitor in its way. It is read and
not mapped: a page that is touched in a mapping is allocated, where a read of a hole is zeros.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_BACKEND = "/memfd:memory-backend-memfd"
_4_GIB = 4 << 30
# QEMU's hw/i386/pc_q35.c, pc_q35_init(): what has 2.75 GiB or more has 2 GiB below the hole.
_SPLIT_FROM, _SPLIT_AT = 0xB000_0000, 0x8000_0000


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bytes of the file that were ever written, and their physical address."""

    phys: int
    offset: int
    size: int


class MemoryFile:
    """The memory of one machine of x86-64's.

    Args:
        fd: The file, open for reading.
        size: How much memory the machine has, in bytes.
    """

    def __init__(self, fd: int, size: int) -> None:
        self._fd, self._size = fd, size

    @property
    def stretches(self) -> Iterator[Stretch]:
        """Return what the machine has ever written to; the rest is zeros."""
        at, end = 0, self._size
        while at < end:
            try:
                began = os.lseek(self._fd, at, os.SEEK_DATA)
            except OSError:  # nothing but a hole follows
                return
            at = os.lseek(self._fd, began, os.SEEK_HOLE)
            for first, last in _pieces(began, at, end):
                yield Stretch(_phys(first, end), first, last - first)

    def read(self, phys: int, size: int) -> bytes:
        """Read `size` bytes at a physical address.

        Raises:
            OSError: there is no memory.
        """
        offset = _offset(phys, self._size)
        if not 0 <= offset <= self._size - size:
            raise OSError(f"the machine has no memory at {phys:#x}")
        return os.pread(self._fd, size, offset)


@contextlib.contextmanager
def memory_file(name: str, size: int, proc: Path = Path("/proc")) -> Iterator[MemoryFile | None]:
    """Open the memory of the machine that libvirt calls `name`.

    Args:
        name: Its name.
        size: Its memory, in bytes.
        proc: Where the processes are.

    Returns:
        None where its QEMU keeps it in no file, or that file may not be read.
    """
    path = _path(name, size, proc)
    if path is None:
        yield None
        return
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        yield None
        return
    try:
        yield MemoryFile(fd, size)
    finally:
        os.close(fd)


def _path(name: str, size: int, proc: Path) -> Path | None:
    for process in proc.glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            if not any(word.startswith(f"guest={name},".encode()) for word in words):
                continue
            for link in (process / "fd").iterdir():
                if str(link.readlink()).startswith(_BACKEND) and link.stat().st_size == size:
                    return link
        except OSError:  # it ended, or is another's
            continue
    return None


def _low(size: int) -> int:
    return _SPLIT_AT if size >= _SPLIT_FROM else size


def _phys(offset: int, size: int) -> int:
    low = _low(size)
    return offset if offset < low else offset - low + _4_GIB


def _offset(phys: int, size: int) -> int:
    low = _low(size)
    if phys < low:
        return phys
    return phys - _4_GIB + low if phys >= _4_GIB else size


def _pieces(began: int, ended: int, size: int) -> Iterator[tuple[int, int]]:
    low = _low(size)
    if began < low < ended:
        yield from ((began, low), (low, ended))
    else:
        yield began, ended
