# SPDX-License-Identifier: Apache-2.0
"""`labvmm segv`: a VMM dies of SIGSEGV, as a bug in it would have it."""

from __future__ import annotations

import argparse
import os
import select
import signal
import time
from collections.abc import Mapping

from .. import procfs
from ..errors import VmmError

PATIENCE_S = 10


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--pid", type=int, required=True, help="the VMM")


def main(chosen: argparse.Namespace) -> Mapping[str, object]:
    """Send the signal, and wait until the process is dead."""
    start_time = procfs.start_time(chosen.pid)
    process = os.pidfd_open(chosen.pid)
    try:
        sent = time.monotonic_ns()
        signal.pidfd_send_signal(process, signal.SIGSEGV)
        dead = wait_dead(process, PATIENCE_S)
        gone = time.monotonic_ns()
    finally:
        os.close(process)
    if not dead:
        raise VmmError(f"process {chosen.pid} lives on {PATIENCE_S} s after SIGSEGV")
    return {
        "pid": chosen.pid,
        "start_time": start_time,
        "sent_at_ns": sent,
        "gone_at_ns": gone,
        "gone": True,
    }


def wait_dead(process: int, seconds: float) -> bool:
    """Wait for the end of a process.

    Args:
        process: Its pidfd.
        seconds: How long.

    Returns:
        Whether it ended.
    """
    return bool(select.select([process], [], [], seconds)[0])
