# SPDX-License-Identifier: Apache-2.0
"""`labvmm oom`: moves a VMM into a small memory cgroup and fills that until the kernel kills it."""

from __future__ import annotations

import argparse
import contextlib
import mmap
import os
import time
from collections.abc import Mapping
from pathlib import Path

from .. import procfs
from ..errors import VmmError
from .segv import wait_dead

ROOT = Path("/sys/fs/cgroup")
LEAF = ROOT / "lab-oom"
LIMIT_BYTES = 4 << 20
PATIENCE_S = 30
VICTIM, BYSTANDER = "1000", "0"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--pid", type=int, required=True, help="the VMM")


def main(chosen: argparse.Namespace) -> Mapping[str, object]:
    """Let the OOM killer choose: the VMM is made its first choice, the filler its second.

    What the VMM has already is charged elsewhere, so a second process must fill the cgroup.
    """
    pid: int = chosen.pid
    start_time = procfs.start_time(pid)
    _make_leaf()
    process = os.pidfd_open(pid)
    started = time.monotonic_ns()
    try:
        Path(f"/proc/{pid}/oom_score_adj").write_text(VICTIM)
        (LEAF / "cgroup.procs").write_text(str(pid))
        filler = _spawn_filler()
        dead = wait_dead(process, PATIENCE_S)
        gone = time.monotonic_ns()
        _end(filler)
    finally:
        os.close(process)
    events = _events()
    with contextlib.suppress(OSError):
        LEAF.rmdir()
    if not dead:
        raise VmmError(f"the OOM killer spared process {pid}: memory.events {events}")
    return {
        "pid": pid,
        "start_time": start_time,
        "started_at_ns": started,
        "gone_at_ns": gone,
        "gone": True,
        "events": events,
    }


def _make_leaf() -> None:
    if not (ROOT / "cgroup.controllers").exists():
        raise VmmError(f"no cgroup v2 at '{ROOT}'", hint=f"mount -t cgroup2 none {ROOT}")
    with contextlib.suppress(OSError):  # a controller that is on already, or cannot be on
        (ROOT / "cgroup.subtree_control").write_text("+memory")
    LEAF.mkdir(exist_ok=True)
    if not (LEAF / "memory.max").exists():
        raise VmmError(f"'{LEAF}' has no memory controller", hint="the kernel needs CONFIG_MEMCG")
    (LEAF / "memory.max").write_text(str(LIMIT_BYTES))
    with contextlib.suppress(OSError):  # no swap in this kernel: nothing to forbid
        (LEAF / "memory.swap.max").write_text("0")


def _spawn_filler() -> int:
    child = os.fork()
    if child:
        return child
    try:
        (LEAF / "cgroup.procs").write_text(str(os.getpid()))
        Path("/proc/self/oom_score_adj").write_text(BYSTANDER)
        memory = mmap.mmap(-1, 16 * LIMIT_BYTES, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        for at in range(0, len(memory), mmap.PAGESIZE):
            memory[at] = 1
    finally:
        os._exit(0)


def _end(filler: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(filler, 9)
    os.waitpid(filler, 0)


def _events() -> dict[str, int]:
    lines = (LEAF / "memory.events").read_text().splitlines()
    return {name: int(count) for name, count in (line.split() for line in lines)}
