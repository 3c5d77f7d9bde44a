# SPDX-License-Identifier: Apache-2.0
"""`labvmm digest`: SHA-256 of a paused guest's RAM, from its VMM's memory or by a keeper."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import mmap
import os
import time
from collections.abc import Mapping

from .. import procfs
from .locate import add_guest_arguments, mapped

CHUNK_BYTES = 1 << 20


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_guest_arguments(parser)


def main(chosen: argparse.Namespace) -> Mapping[str, object]:
    """Hash the RAM in the order of guest-physical addresses."""
    with contextlib.ExitStack() as stack:
        pid, ram = mapped(chosen, stack)
        return _of_process(pid, ram)


def _of_process(pid: int, ram: list[procfs.Mapping]) -> dict[str, object]:
    started = time.monotonic_ns()
    whole = hashlib.sha256()
    done = 0
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:  # noqa: PTH123
        for mapping in sorted(ram, key=lambda m: m.offset):
            at = mapping.start + max(done - mapping.offset, 0)
            while at < mapping.end:
                piece = os.pread(memory.fileno(), min(CHUNK_BYTES, mapping.end - at), at)
                whole.update(piece)
                at += len(piece)
                done += len(piece)
    return {"size": done, "sha256": whole.hexdigest(), "ms": _since(started)}


def of_fd(fd: int) -> dict[str, object]:
    """Hash a whole memfd."""
    started = time.monotonic_ns()
    size = os.fstat(fd).st_size
    with mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ) as pages:
        return {"size": size, "sha256": hashlib.sha256(pages).hexdigest(), "ms": _since(started)}


def _since(started: int) -> int:
    return (time.monotonic_ns() - started) // 1_000_000
