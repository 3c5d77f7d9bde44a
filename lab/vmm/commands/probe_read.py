# SPDX-License-Identifier: Apache-2.0
"""`labvmm probe-read`: what this host can read of a guest's pages, and how it is told if not.

On a guest that is not protected each way gives the guest's bytes. On a protected one a system
call may have the page taken from the guest and zeroed, and then the guest ends at its next
access (Documentation/virt/kvm/arm/pkvm.rst). So the gentlest way comes first.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import faulthandler
import hashlib
import mmap
import os
import select
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from .. import procfs
from ..errors import VmmError
from ..machine import memory
from .locate import PAGE, ram_of, virtual

PATIENCE_S = 10
_libc = ctypes.CDLL(None, use_errno=True)


class Page(NamedTuple):
    """A guest's page: where its VMM has it mapped, and where this process has."""

    pid: int
    vmm_address: int
    address: int


class Vector(ctypes.Structure):
    """struct iovec."""

    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))


def by_load(page: Page) -> bytes:
    """Copy it by the processor's own loads."""
    return ctypes.string_at(page.address, PAGE)


def by_write(page: Page) -> bytes:
    """Have the kernel copy it into a pipe, by write(2) from that memory."""
    out, into = os.pipe()
    done = _libc.write(into, ctypes.c_void_p(page.address), ctypes.c_size_t(PAGE))
    _raise_if(done < 0)
    return os.read(out, PAGE)


def by_vm_readv(page: Page) -> bytes:
    """Have the kernel copy it from the VMM, by process_vm_readv(2)."""
    content = ctypes.create_string_buffer(PAGE)
    local = Vector(ctypes.addressof(content), PAGE)
    remote = Vector(page.vmm_address, PAGE)
    done = _libc.process_vm_readv(
        page.pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, ctypes.c_ulong(0)
    )
    _raise_if(done < 0)
    return content.raw[:done]


def by_proc_mem(page: Page) -> bytes:
    """Read it from /proc/PID/mem, as a debugger does."""
    file = os.open(f"/proc/{page.pid}/mem", os.O_RDONLY)
    return os.pread(file, PAGE, page.vmm_address)


WAYS: Mapping[str, Callable[[Page], bytes]] = {
    "load": by_load,
    "write": by_write,
    "process_vm_readv": by_vm_readv,
    "proc-mem": by_proc_mem,
}


class Answer(NamedTuple):
    """What came of one try: bytes, or an error's name, or the signal that killed it."""

    content: bytes
    errno: str | None
    signal: str | None


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--pid", type=int, required=True, help="the VMM: labvmm or QEMU")
    parser.add_argument("--ram-size", type=int, required=True, metavar="BYTES")
    parser.add_argument("--by", action="append", choices=WAYS, help="one way; all without it")
    parser.add_argument("--canary", type=bytes.fromhex, help="bytes to look for, in hex")
    parser.add_argument("--keep", type=Path, help="add all that was read to this file")
    parser.add_argument("gpa", nargs="+", help="guest-physical addresses, such as 0x40201000")


def main(chosen: argparse.Namespace) -> Mapping[str, object]:
    """Try each way at each page, each in a process of its own."""
    mappings = ram_of(procfs.maps(chosen.pid), chosen.ram_size, chosen.pid)
    file = _their_file(chosen.pid, mappings[0].inode)
    try:
        window = mmap.mmap(file, chosen.ram_size)
    finally:
        os.close(file)
    start = ctypes.addressof(ctypes.c_char.from_buffer(window))
    pages = {}  # all of them before the first try: a wrong address costs no guest its life
    for gpa in (int(text, 0) // PAGE * PAGE for text in chosen.gpa):
        vmm_address = virtual(mappings, gpa, memory.base())
        pages[gpa] = Page(chosen.pid, vmm_address, start + gpa - memory.base())
    tries = []
    for gpa, page in pages.items():
        for way in chosen.by or WAYS:
            answer = in_a_child(WAYS[way], page)
            tries.append({"gpa": f"{gpa:#x}", "by": way, **as_json(answer, chosen.canary)})
            if chosen.keep:
                with chosen.keep.open("ab") as file:
                    file.write(answer.content)
    return {"pid": chosen.pid, "start_time": procfs.start_time(chosen.pid), "tries": tries}


def as_json(answer: Answer, canary: bytes | None) -> dict[str, object]:
    """Describe an answer, but not the bytes."""
    content = answer.content
    return {
        "errno": answer.errno,
        "signal": answer.signal,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest() if content else None,
        "zero": bool(content) and not any(content),
        "canary": canary in content if canary else None,
    }


def in_a_child(way: Callable[[Page], bytes], page: Page) -> Answer:
    """Try one way in a child, where a signal kills nothing else.

    Raises:
        VmmError: The child neither answered nor died.
    """
    out, into = os.pipe()
    child = os.fork()
    if not child:
        _answer(way, page, into)
    os.close(into)
    with os.fdopen(out, "rb") as file:
        if not select.select([file], [], [], PATIENCE_S)[0]:
            os.kill(child, signal.SIGKILL)
            raise VmmError(f"reading a guest's page did not end within {PATIENCE_S} s")
        content = file.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status < 0:
        return Answer(b"", None, signal.Signals(-status).name)
    return Answer(b"", errno.errorcode[status], None) if status else Answer(content, None, None)


def _answer(way: Callable[[Page], bytes], page: Page, into: int) -> None:
    faulthandler.disable()  # where a signal is a result it is not to be explained
    status = errno.EPROTO  # what no way of reading answers
    try:
        content = way(page)
        os.write(into, content)
        status = 0
    except OSError as e:
        status = e.errno or status
    finally:
        os._exit(status)


def _raise_if(failed: bool) -> None:
    if failed:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _their_file(pid: int, inode: int) -> int:
    """Open the file that guest RAM is, by the VMM's own descriptor of it."""
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if link.stat().st_ino == inode and "memfd:" in str(link.readlink()):
                return os.open(link, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            continue  # closed meanwhile
    raise VmmError(f"process {pid} has no descriptor of its guest's memory", hint="is it a memfd?")
