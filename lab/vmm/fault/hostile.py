# SPDX-License-Identifier: Apache-2.0
"""`labvmm hostile`: do to an orphan what other processes may try; prints each answer."""

from __future__ import annotations

import argparse
import ctypes
import errno
import os
import select
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

from ..errors import VmmError
from ..kvm import async_run as kvm_async
from ..machine import control, memory

PUNCH_HOLE = 0x02 | 0x01  # FALLOC_FL_PUNCH_HOLE, and KEEP_SIZE, which it needs
ATTACH, DETACH = 16, 17  # of ptrace
WALL = 0x40000000  # of wait4: children of any kind
LOOKS, LOOK_S = 50, 0.01
THREADS = "kvm-vcpu/"
_libc = ctypes.CDLL(None, use_errno=True)

Fds = Mapping[str, int]
Answers = dict[str, object]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--keeper", type=Path, required=True, metavar="SOCKET")
    parser.add_argument("deed", choices=sorted(DEEDS))


def main(chosen: argparse.Namespace) -> Mapping[str, object]:
    """Do it as a process that has the descriptors and is not the owner."""
    _, fds = control.ask(chosen.keeper, "fetch")
    return {"deed": chosen.deed, "answers": DEEDS[chosen.deed](fds)}


def punch_hole(fds: Fds) -> Answers:
    """Take all of its memory away."""
    size = os.fstat(fds["ram"]).st_size
    done = _libc.fallocate(fds["ram"], PUNCH_HOLE, ctypes.c_long(0), ctypes.c_long(size))
    return {"fallocate": _answer(done)}


def change_slots(fds: Fds) -> Answers:
    """Add a memslot, and delete it."""
    size = os.fstat(fds["ram"]).st_size
    return dict(memory.try_slot(fds["vm"], memory.base() + 2 * size))


def run_vcpus(fds: Fds) -> Answers:
    """Run its vCPUs without owning it."""
    return {name: _attempt(kvm_async.run, fd) for name, fd in _vcpus(fds)}


def release(fds: Fds) -> Answers:
    """Release a VM that this process does not own."""
    return {"KVM_ORPHAN_RELEASE": _attempt(kvm_async.release, fds["vm"])}


def stop_threads(_: Fds) -> Answers:
    """Send SIGSTOP to the threads that run vCPUs; those of all guests of this host."""
    return _signal(signal.SIGSTOP)


def kill_threads(_: Fds) -> Answers:
    """Send SIGKILL to them."""
    return _signal(signal.SIGKILL)


def trace_threads(_: Fds) -> Answers:
    """Attach to each of them as a debugger; one that stops for it is let go again.

    One that does not is let go by the end of this process.
    """
    answers: Answers = {}
    for tid in vcpu_threads():
        answers[str(tid)] = _answer(_libc.ptrace(ATTACH, tid, None, None))
        if answers[str(tid)] == "ok":
            answers[str(tid)] = "stopped" if _stopped(tid) else "attached, and runs on"
            _libc.ptrace(DETACH, tid, None, None)
    return answers


def _stopped(tid: int) -> bool:
    for _ in range(LOOKS):
        if os.waitpid(tid, WALL | os.WNOHANG)[0]:
            return True
        select.select([], [], [], LOOK_S)
    return False


DEEDS: Mapping[str, Callable[[Fds], Answers]] = {
    "punch-hole": punch_hole,
    "memslot": change_slots,
    "run": run_vcpus,
    "release": release,
    "stop-threads": stop_threads,
    "kill-threads": kill_threads,
    "trace-threads": trace_threads,
}


def vcpu_threads(proc: Path = Path("/proc")) -> list[int]:
    """Find the threads of the kernel's that run vCPUs.

    Raises:
        VmmError: There is none.
    """
    found = []
    for comm in proc.glob("[0-9]*/comm"):
        try:
            name = comm.read_text()
        except OSError:  # it has just ended
            continue
        if name.startswith(THREADS):
            found.append(int(comm.parent.name))
    if not found:
        raise VmmError(
            f"this host has no thread '{THREADS}...'", hint="run a guest with --orphanable first"
        )
    return sorted(found)


def _vcpus(fds: Fds) -> list[tuple[str, int]]:
    return [(name, fd) for name, fd in sorted(fds.items()) if name.startswith("vcpu")]


def _signal(number: signal.Signals) -> Answers:
    return {str(tid): _attempt(os.kill, tid, number) for tid in vcpu_threads()}


def _attempt(deed: Callable[..., object], *arguments_: object) -> str:
    try:
        deed(*arguments_)
    except OSError as e:
        return errno.errorcode.get(e.errno or 0, str(e.errno))
    return "ok"


def _answer(result: int) -> str:
    code = ctypes.get_errno()
    return "ok" if result >= 0 else errno.errorcode.get(code, str(code))
