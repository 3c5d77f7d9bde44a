# SPDX-License-Identifier: Apache-2.0
"""`labvmm locate`: from guest-physical to physical addresses, by maps and pagemap."""

from __future__ import annotations

import argparse
import contextlib
import mmap
import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from .. import procfs
from ..errors import VmmError
from ..machine import control, memory

PAGE = 4096
PRESENT = 1 << 63
FRAME = (1 << 55) - 1
# after a kexec, LUO gives a memfd back without its name: "/ (deleted)"
RAM_NAMES = re.compile(r"/memfd:|/ \(deleted\)|/?\[kvm-gmem\]|anon_inode:.*gmem")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_guest_arguments(parser)
    parser.add_argument("gpa", nargs="+", help="guest-physical addresses, such as 0x1234000")


def add_guest_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments that name the guest."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--pid", type=int, help="the VMM: labvmm or QEMU")
    which.add_argument("--keeper", type=Path, metavar="SOCKET", help="the keeper of an orphan")
    parser.add_argument("--ram-size", type=int, metavar="BYTES", help="with --pid")


def main(chosen: argparse.Namespace) -> Mapping[str, object]:
    """Find all of the addresses, or none."""
    gpas = [_address(text) for text in chosen.gpa]
    with contextlib.ExitStack() as stack:
        pid, ram = mapped(chosen, stack)
        where = {gpa: virtual(ram, gpa, memory.base()) for gpa in gpas}
        found = {f"{gpa:#x}": f"{_physical(pid, at, gpa):#x}" for gpa, at in where.items()}
        return {"pid": pid, "start_time": procfs.start_time(pid), "phys": found}


def mapped(
    chosen: argparse.Namespace, stack: contextlib.ExitStack
) -> tuple[int, list[procfs.Mapping]]:
    """Return a process that has the guest's RAM mapped, and where: its VMM, or this very process.

    Raises:
        VmmError: There is no such RAM; or it is a protected guest's, and a look would take its
            pages away from it.
    """
    if chosen.keeper is None:
        if chosen.ram_size is None:
            raise VmmError("--pid needs --ram-size")
        return chosen.pid, ram_of(procfs.maps(chosen.pid), chosen.ram_size, chosen.pid)
    description, fds = control.ask(chosen.keeper, "fetch")
    if description.get("protected"):
        raise VmmError("the guest is protected: its RAM cannot be mapped")
    size = os.fstat(fds["ram"]).st_size
    stack.enter_context(mmap.mmap(fds["ram"], size, mmap.MAP_SHARED, mmap.PROT_READ))
    for fd in fds.values():
        os.close(fd)
    return os.getpid(), ram_of(procfs.maps(os.getpid()), size, os.getpid())


def ram_of(mappings: Iterable[procfs.Mapping], size: int, pid: int) -> list[procfs.Mapping]:
    """Find the mappings of the one file that guest RAM of this size is.

    Raises:
        VmmError: There is none, or more than one; lists what was seen.
    """
    files: dict[tuple[int, str], list[procfs.Mapping]] = {}
    for mapping in mappings:
        if RAM_NAMES.match(mapping.name):
            files.setdefault((mapping.inode, mapping.name), []).append(mapping)
    fitting = [f for f in files.values() if _covers(f, size)]
    if len(fitting) != 1:
        seen = ", ".join(
            f"'{name}' of {sum(m.end - m.start for m in f)} bytes" for (_, name), f in files.items()
        )
        raise VmmError(
            f"process {pid} has {len(fitting)} mappings of {size} bytes of guest RAM; "
            f"memfds seen: {seen or 'none'}",
            hint="give QEMU -object memory-backend-memfd,id=ram,size=...,share=on",
        )
    return fitting[0]


def _covers(file: list[procfs.Mapping], size: int) -> bool:
    end = 0
    for mapping in sorted(file, key=lambda m: m.offset):
        if mapping.offset > end:
            return False
        end = max(end, mapping.offset + mapping.end - mapping.start)
    return end == size


def virtual(ram: list[procfs.Mapping], gpa: int, base: int = 0) -> int:
    """Find where a process has a guest-physical address, below 2 GiB of RAM, in its own memory.

    Raises:
        VmmError: The guest has no RAM there.
    """
    at = gpa - base
    for mapping in ram:
        if mapping.offset <= at < mapping.offset + mapping.end - mapping.start:
            return mapping.start + at - mapping.offset
    raise VmmError(f"the guest has no RAM at {gpa:#x}")


def _physical(pid: int, address: int, gpa: int) -> int:
    word = _pagemap(pid, address)
    if not word & PRESENT:
        # A guest_memfd page that only the guest has touched is in no page table of the VMM:
        # reading one byte puts it there. Never done to a page that is there already, for it
        # may be a protected guest's, which reading would take away and zero.
        _read(f"/proc/{pid}/mem", address, 1)
        word = _pagemap(pid, address)
    if not word & PRESENT:
        raise VmmError(f"guest page {gpa:#x} is not in memory (pagemap has {word:#x})")
    if not word & FRAME:
        raise VmmError("pagemap hides frame numbers from this user", hint="run labvmm as root")
    return (word & FRAME) * PAGE + address % PAGE


def _pagemap(pid: int, address: int) -> int:
    entry = _read(f"/proc/{pid}/pagemap", address // PAGE * 8, 8)
    return int.from_bytes(entry, sys.byteorder)


def _read(path: str, at: int, count: int) -> bytes:
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123
        return os.pread(file.fileno(), count, at)


def _address(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError as e:
        raise VmmError(f"'{text}' is no address", hint="write it as 0x1234000") from e
