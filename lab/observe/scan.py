# SPDX-License-Identifier: Apache-2.0
"""Finds beacons again in a host's memory, when the page that was watched is one no more."""

from __future__ import annotations

from collections.abc import Iterator

from lab.errors import LabError
from lab.observe.beacon import MAGIC, PAGE
from lab.observe.eye import Read

_CANARY = slice(0x10, 0x20)


def scan(read: Read, size: int, canary: bytes, *, chunk: int) -> tuple[int, ...]:
    """Search the host's memory for beacon pages of one guest.

    A stretch that cannot be read is passed over. Copies that no longer beat are found, too:
    `sighted` tells them apart.

    Args:
        read: Reads the host's memory: physical address and size, in bytes.
        size: How far to search, from address 0, in bytes.
        canary: The guest's, 16 bytes.
        chunk: Bytes of one read; a multiple of 4096.

    Returns:
        The physical address of each page, in order.
    """
    found: list[int] = []
    for start in range(0, size, chunk):
        try:
            data = read(start, min(chunk, size - start))
        except (LabError, OSError):
            continue
        found.extend(start + at for at in beacons_in(data, canary))
    return tuple(found)


def beacons_in(data: bytes | bytearray, canary: bytes) -> Iterator[int]:
    """Find the beacon pages in a piece of memory.

    Args:
        data: The piece; it begins at a page.
        canary: The guest's.

    Returns:
        Where in `data` each begins.
    """
    for n, first in enumerate(data[::PAGE]):  # most pages need no more than one byte
        at = n * PAGE
        ours = first == MAGIC[0] and data.startswith(MAGIC, at)
        if ours and data[at : at + PAGE][_CANARY] == canary:
            yield at
