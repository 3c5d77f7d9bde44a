# SPDX-License-Identifier: Apache-2.0
"""A long child process, which ends when its parent does, and a lock that both of them own."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.deadline import Deadline, pause
from lab.errors import InfraError

_EVERY_S = 1.0
_GRACE_S = 180.0  # to take down hosts and write the report
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Child:
    """How a child process ended."""

    status: int
    timed_out: bool = False


@contextmanager
def exclusive_lock(lock: Path, message: str) -> Iterator[int]:
    """Lock a file for the block; a child that inherits the descriptor owns the lock, too.

    Args:
        lock: The file, made if it is not there.
        message: What the error says if another process owns the lock.

    Yields:
        The descriptor, for `run_child`.

    Raises:
        InfraError: Another process owns it.
    """
    with lock.open("a", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            raise InfraError(
                message, hint="wait until it ends; 'lab status' lists its machines"
            ) from e
        yield file.fileno()


def run_child(
    argv: Sequence[str],
    log: Path,
    *,
    cwd: Path,
    keep: int,
    at_most_s: float,
    look: Callable[[], None] = lambda: None,
) -> Child:
    """Run a program to its end, or interrupt it when its time is up or this process is stopped.

    Args:
        argv: The program and its arguments.
        log: The file that its output is appended to.
        cwd: Its working folder.
        keep: The descriptor of a lock that it owns for as long as it lives.
        at_most_s: After so many seconds it is interrupted; it then has 180 s to clean up.
        look: Called once a second until it ends, and once after that.

    Returns:
        Its exit status, and whether its time was up.
    """
    by = Deadline.after(max(0.0, at_most_s))
    with log.open("ab") as output:
        child = subprocess.Popen(
            argv,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=(keep,),
            start_new_session=True,  # Ctrl-C reaches this process only, and is passed on once
            preexec_fn=_end_with_parent(os.getpid()),  # noqa: PLW1509 - asks for a signal only
        )
        timed_out = _wait(child, by, look)
        look()
    return Child(child.returncode, timed_out)


def _wait(child: subprocess.Popen[bytes], by: Deadline, look: Callable[[], None]) -> bool:
    """Wait for a child, and interrupt it if it does not end; return whether its time was up."""
    try:
        while child.poll() is None and by.left:
            look()
            pause(min(_EVERY_S, by.left))
        return child.poll() is None
    finally:
        _interrupt(child)


def _end_with_parent(parent: int) -> Callable[[], None]:
    libc = ctypes.CDLL(None, use_errno=True)

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
        if os.getppid() != parent:  # the parent died before the request
            os._exit(1)

    return ask


def _interrupt(child: subprocess.Popen[bytes]) -> None:
    """Interrupt a child that still runs, so that it cleans up; after the grace, kill it."""
    if child.poll() is not None:
        return
    child.send_signal(signal.SIGINT)
    try:
        child.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
