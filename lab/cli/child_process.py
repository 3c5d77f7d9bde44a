# SPDX-License-Identifier: Apache-2.0
"""A long child process: it ends with us however we end, and nobody else begins meanwhile."""

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
def exclusive_lock(lock: Path, who: str) -> Iterator[int]:
    """Hold `lock` for the block, and give its file descriptor; children that get it hold it too.

    Raises:
        InfraError: Somebody else holds it; the message is `who`.
    """
    with lock.open("a", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            raise InfraError(who, hint="wait for its end; 'lab status' shows its machines") from e
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
    """Run `argv` to its end, or interrupt it when the time is up or we are told to stop.

    Args:
        argv: What to run.
        log: Gets all that it prints, after what is there.
        cwd: Where it runs.
        keep: A lock that it holds as long as it lives.
        at_most_s: After so many seconds it is interrupted, and may clean up.
        look: Called every second meanwhile.
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
            start_new_session=True,  # a Ctrl-C is ours to pass on, once
            preexec_fn=_end_with_parent(os.getpid()),  # noqa: PLW1509 - asks for a signal only
        )
        try:
            while child.poll() is None and by.left:
                look()
                pause(min(_EVERY_S, by.left))
            timed_out = child.poll() is None
        finally:
            _interrupt(child)
        look()
    return Child(child.returncode, timed_out)


def _end_with_parent(parent: int) -> Callable[[], None]:
    libc = ctypes.CDLL(None, use_errno=True)

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
        if os.getppid() != parent:  # it died before we could ask
            os._exit(1)

    return ask


def _interrupt(child: subprocess.Popen[bytes]) -> None:
    """Let a child that still runs take down what it made; if it cannot, it is ended."""
    if child.poll() is not None:
        return
    child.send_signal(signal.SIGINT)
    try:
        child.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
