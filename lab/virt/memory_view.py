# SPDX-License-Identifier: Apache-2.0
"""A machine's memory as it lies in its QEMU, read past the monitor; nothing is written.

A search of 2 GiB by peeks takes half a minute. QEMU has the whole RAM of a machine in one mapping,
which the kernel lets root, and its own user, read by `/proc/PID/mem`.
"""

from __future__ import annotations

import contextlib
import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.virt.process import qemu_of

_4_GIB = 4 << 30
# QEMU's hw/i386/pc_q35.c, pc_q35_init(): what has 2.75 GiB or more has 2 GiB below the hole.
_SPLIT_FROM, _SPLIT_AT = 0xB000_0000, 0x8000_0000
_PAGE = 4096
_PIECE = 2 << 20
_THERE = 3 << 62  # Documentation/admin-guide/mm/pagemap.rst: present, or swapped out


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a machine's RAM is in its physical memory.

    Attributes:
        size: How much there is, in bytes.
        base: Where it begins; what begins at 0 has a hole below 4 GiB, as q35 has.
    """

    size: int
    base: int = 0

    def phys(self, offset: int) -> int:
        """Translate an offset.

        Args:
            offset: Of a byte in the RAM.

        Returns:
            Its physical address.
        """
        if self.base or offset < self._low:
            return self.base + offset
        return offset - self._low + _4_GIB

    def offset(self, phys: int) -> int:
        """Translate a physical address.

        Args:
            phys: The address.

        Returns:
            Where in the RAM it is, in bytes.

        Raises:
            OSError: There is no RAM.
        """
        offset = phys - self.base
        if not self.base and phys >= self._low:
            offset = phys - _4_GIB + self._low if phys >= _4_GIB else -1
        if not 0 <= offset < self.size:
            raise OSError(f"the machine has no memory at {phys:#x}")
        return offset

    @property
    def _low(self) -> int:
        return _SPLIT_AT if self.size >= _SPLIT_FROM else self.size


class MemoryView:
    """The RAM of one machine.

    Args:
        process: Its QEMU's folder in /proc.
        memory: `/proc/PID/mem`, open for reading.
        start: Where in QEMU's memory the RAM is.
        shared: The RAM is a file's: QEMU's page table does not say what was written.
        layout: Where the RAM is for the machine.
    """

    def __init__(
        self, process: Path, memory: int, start: int, layout: Layout, *, shared: bool
    ) -> None:
        self._process, self._memory, self._start = process, memory, start
        self._layout, self._shared = layout, shared

    def read(self, phys: int, size: int) -> bytes:
        """Read the machine's memory.

        Args:
            phys: From which physical address on.
            size: How many bytes.

        Returns:
            The bytes.

        Raises:
            OSError: There is no memory, or QEMU has ended.
        """
        offset = self._layout.offset(phys)
        self._layout.offset(phys + size - 1)
        data = os.pread(self._memory, size, self._start + offset)
        if len(data) != size:
            raise OSError(f"of {size} bytes at {phys:#x}, {len(data)} came")
        return data

    def pieces(self) -> Iterator[tuple[int, bytearray]]:
        """Read all that was ever written.

        Returns:
            Pieces that begin at a page: physical address, and bytes that are only good until the
            next piece.

        Raises:
            OSError: QEMU has ended.
        """
        buffer = bytearray(_PIECE)  # one for all: a new one each time costs more than the reading
        for offset in self._there():
            size = min(_PIECE, self._layout.size - offset)
            if size != len(buffer):
                buffer = bytearray(size)
            if os.preadv(self._memory, [buffer], self._start + offset) != size:
                raise OSError(f"of {size} bytes at {offset:#x} of the RAM, not all came")
            yield self._layout.phys(offset), buffer

    def _there(self) -> Iterator[int]:
        every = range(0, self._layout.size, _PIECE)
        if self._shared:
            yield from every
            return
        with (self._process / "pagemap").open("rb") as file:
            file.seek(self._start // _PAGE * 8)
            for offset in every:
                pages = min(_PIECE, self._layout.size - offset) // _PAGE
                entries = array("Q", file.read(pages * 8))
                if any(entry & _THERE for entry in entries):
                    yield offset


@contextlib.contextmanager
def memory_view(
    name: str, layout: Layout, proc: Path = Path("/proc")
) -> Iterator[MemoryView | None]:
    """Open the memory of the machine that libvirt calls `name`.

    Args:
        name: Its name.
        layout: Where its RAM is.
        proc: Where the processes are.

    Yields:
        The memory; None where its QEMU is not on this machine, or may not be read.
    """
    found = _mapping(name, layout.size, proc)
    if found is None:
        yield None
        return
    process, start, shared = found
    try:
        memory = os.open(process / "mem", os.O_RDONLY)
    except OSError:
        yield None
        return
    try:
        yield MemoryView(process, memory, start, layout, shared=shared)
    finally:
        os.close(memory)


def _mapping(name: str, size: int, proc: Path) -> tuple[Path, int, bool] | None:
    """Find the one mapping of exactly `size` bytes that QEMU can write."""
    process = qemu_of(name, proc)
    if process is None:
        return None
    try:
        found = list(_sized((process / "maps").read_text().splitlines(), size))
    except OSError:  # it ended, or is another's
        return None
    return (process, *found[0]) if len(found) == 1 else None


def _sized(maps: list[str], size: int) -> Iterator[tuple[int, bool]]:
    for line in maps:
        where, rights, *_ = line.split()
        start, _, end = where.partition("-")
        if int(end, 16) - int(start, 16) == size and rights.startswith("rw"):
            yield int(start, 16), rights.endswith("s")
