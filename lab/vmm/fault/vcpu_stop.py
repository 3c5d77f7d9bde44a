# SPDX-License-Identifier: Apache-2.0
"""`labvmm vcpu-stop`: a whole VMM is stopped for a known time, by this machine's clock."""

from __future__ import annotations

import argparse
import os
import signal
import time
from collections.abc import Callable, Mapping

from .. import procfs
from ..errors import VmmError

STOPPED = "T"
ENDS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
PATIENCE_NS = 5_000_000_000


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--pid", type=int, required=True, help="the VMM")
    parser.add_argument("--ms", type=int, required=True, help="how long it stays stopped, at least")


def main(chosen: argparse.Namespace) -> Mapping[str, object]:
    """Stop it, wait, let it go on; inner bracket: surely stopped; outer: surely all of it."""
    pid: int = chosen.pid
    if chosen.ms <= 0:
        raise VmmError(f"--ms {chosen.ms}: more than 0")
    start_time = procfs.start_time(pid)
    threads = procfs.Threads(pid)
    threads.letters()  # once for nothing: the first time takes longest, and widens the bracket
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)  # dying here would leave it stopped
    outer_from = time.monotonic_ns()
    os.kill(pid, signal.SIGSTOP)
    try:
        _until(lambda: threads.letters() == {STOPPED}, f"all threads of {pid} to stop")
        inner_from = time.monotonic_ns()
        signal.sigtimedwait(ENDS, chosen.ms / 1000)
        inner_to = time.monotonic_ns()
    finally:
        os.kill(pid, signal.SIGCONT)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    _until(lambda: threads.letters() != {STOPPED}, f"{pid} to go on")
    outer_to = time.monotonic_ns()
    threads.close()
    return {
        "pid": pid,
        "start_time": start_time,
        "stopped_at_ns": inner_from,
        "continued_at_ns": inner_to,
        "stop_ns": inner_to - inner_from,
        "outer": {"from_ns": outer_from, "to_ns": outer_to, "ns": outer_to - outer_from},
    }


def _until(met: Callable[[], bool], what: str) -> None:
    end = time.monotonic_ns() + PATIENCE_NS
    while not met():
        if time.monotonic_ns() > end:
            raise VmmError(f"waited for {what}, which did not come")
        os.sched_yield()
