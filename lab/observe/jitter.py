# SPDX-License-Identifier: Apache-2.0
"""Did L0 itself stall? A process of its own that sleeps 1 ms and reports when it overslept."""

from __future__ import annotations

import argparse
import select
import subprocess
import sys
import time
from threading import Lock, Thread
from types import TracebackType
from typing import IO, Self

from lab.child_env import child_env
from lab.errors import InfraError
from lab.observe.window import Window

LIMIT_S = 0.010
_NAP_S = 0.001
_PATIENCE_S = 10.0


def probe(limit_s: float, asks: IO[str], tells: IO[str]) -> None:
    """Sleep, and write `<from> <to>` for each sleep that took too long, until `asks` ends.

    Args:
        limit_s: How much longer than 1 ms a sleep may take, in seconds.
        asks: Read only for its end.
        tells: Gets "ready" and then a line for each stall, on the monotonic clock in seconds.
    """
    tells.write("ready\n")
    tells.flush()
    before = time.monotonic()
    # Waiting for input is the sleep: it ends when the process at the other end of the pipe does.
    while not select.select([asks], [], [], _NAP_S)[0]:
        now = time.monotonic()
        if now - before - _NAP_S > limit_s:
            tells.write(f"{before!r} {now!r}\n")
            tells.flush()
        before = now


class JitterProbe:
    """Watches L0 while the block runs.

    Args:
        limit_s: A sleep of 1 ms that takes longer by more than this, in seconds, is a stall.
    """

    def __init__(self, limit_s: float = LIMIT_S) -> None:
        self._limit = limit_s
        self._voids: list[Window] = []
        self._lock = Lock()

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lab.observe.jitter", "--limit-s", repr(self._limit)],
            env=child_env(python=True),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None  # noqa: S101 - asked for above
        if self._process.stdout.readline() != "ready\n":
            self._close()
            raise InfraError(
                "the jitter probe did not start", hint="try python -m lab.observe.jitter"
            )
        self._reader = Thread(target=self._listen, args=(self._process.stdout,), name="jitter")
        self._reader.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        early = self._process.poll()
        self._close()
        if early is not None and error is None:
            raise InfraError(f"the jitter probe ended early, with status {early}")

    @property
    def voids(self) -> tuple[Window, ...]:
        """The stretches in which L0 stalled, so far; complete when the block is over."""
        with self._lock:
            return tuple(self._voids)

    def _listen(self, tells: IO[str]) -> None:
        for line in tells:
            began, ended = map(float, line.split())
            with self._lock:
                self._voids.append(Window(began, ended))

    def _close(self) -> None:
        assert self._process.stdin is not None  # noqa: S101 - asked for above
        assert self._process.stdout is not None  # noqa: S101 - asked for above
        self._process.stdin.close()
        try:
            self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if hasattr(self, "_reader"):
            self._reader.join()
        self._process.stdout.close()


def main() -> None:
    """Be the probe."""
    parser = argparse.ArgumentParser(prog="lab.observe.jitter")
    parser.add_argument("--limit-s", type=float, default=LIMIT_S)
    probe(parser.parse_args().limit_s, sys.stdin, sys.stdout)


if __name__ == "__main__":
    main()
