# SPDX-License-Identifier: Apache-2.0
"""Was L0 itself late? A process of its own watches QEMU's threads, and L0's own clocks.

Where it cannot see how long those threads waited for a CPU, it can only guess, by whether it
oversleeps itself; its record says so.
"""

from __future__ import annotations

import argparse
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Lock, Thread
from types import TracebackType
from typing import IO, Self

from lab.child_env import child_env
from lab.errors import InfraError
from lab.observe.clocks import Clocks
from lab.observe.run_delay import RunDelay, Steal, merged
from lab.observe.window import Window

LIMIT_S = 0.010
_NAP_S = 0.001
_SAMPLE_S = 0.005
_STEAL_EVERY = 20  # samples; with many CPUs /proc/stat takes a millisecond to read
_PATIENCE_S = 10.0
_BY_SLEEP = "a sleeper's guess"


class Probe:
    """What is asked again and again, and what it costs to wait between.

    Args:
        limit_s: How late L0 may be, in seconds.
        process: The folder in /proc of the QEMU to watch; None to guess.
    """

    def __init__(self, limit_s: float, process: Path | None) -> None:
        self._limit = limit_s
        self._clocks = Clocks()
        self._threads: RunDelay | None = None
        self._steal: Steal | None = None
        self._count = 0
        self.how = f"{_BY_SLEEP}: no process of QEMU's was found"
        if process is not None:
            try:
                self._threads = RunDelay(process, limit_s, time.monotonic())
                self._steal = Steal(limit_s)
                self.how = f"run delay of {self._threads.vcpus} vCPU threads, and steal"
            except (InfraError, OSError) as e:
                self.how = f"{_BY_SLEEP}: {e}"
        self.nap_s = _SAMPLE_S if self._threads else _NAP_S

    def sample(self, before: float, now: float) -> Iterator[str]:
        """Look, and say in a line for each what was late.

        Args:
            before: When it looked last, in seconds of L0's clock.
            now: When it looks.
        """
        slept = self._clocks.asleep()
        if slept:
            yield f"suspended {now!r} {slept!r}"
        own = self._clocks.waited()
        late: list[Window] = []
        if self._threads is None or self._steal is None:
            if now - before - self.nap_s > self._limit:
                late = [Window(before, now)]
        else:
            # What is left when its own wait for a CPU is taken off, all of L0 was late by.
            if now - before - self.nap_s - own > self._limit:
                late = [Window(before, now)]
            late += self._threads.sample(now)
            self._count += 1
            if self._count % _STEAL_EVERY == 0:
                late += self._steal.sample(now)
        for window in late:
            yield f"late {window.began!r} {window.ended!r}"


def probe(limit_s: float, asks: IO[str], tells: IO[str], process: Path | None = None) -> None:
    """Write how L0 is watched, then a line for each time it was late, until `asks` ends.

    Args:
        limit_s: How late it may be, in seconds.
        asks: The pipe of the parent; the probe ends when it is closed.
        tells: Gets `ready HOW`, and then `late FROM TO` and `suspended AT SECONDS`, in seconds.
        process: The folder in /proc of the QEMU to watch; None to guess.
    """
    watch = Probe(limit_s, process)
    tells.write(f"ready {watch.how}\n")
    tells.flush()
    before = time.monotonic()
    # Waiting for input is the sleep: whoever opened the pipe and is gone ends it.
    while not select.select([asks], [], [], watch.nap_s)[0]:
        now = time.monotonic()
        for line in watch.sample(before, now):
            tells.write(f"{line}\n")
            tells.flush()
        before = now


class JitterProbe:
    """Watches L0 while the block runs.

    Args:
        limit_s: How late L0 may be, in seconds.
        process: The folder in /proc of the QEMU to watch; None to guess.
    """

    def __init__(self, limit_s: float = LIMIT_S, process: Path | None = None) -> None:
        self._limit, self._watched = limit_s, process
        self._voids: tuple[Window, ...] = ()
        self._suspended: list[tuple[float, float]] = []
        self._lock = Lock()
        self.how = ""

    def __enter__(self) -> Self:
        about = ["--process", str(self._watched)] if self._watched else []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lab.observe.jitter", "--limit-s", repr(self._limit), *about],
            env=child_env(python=True),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None  # noqa: S101 - asked for above
        word, _, self.how = self._process.stdout.readline().strip().partition(" ")
        if word != "ready":
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
        """The stretches known so far in which L0 was late, in order and apart from each other."""
        with self._lock:
            return self._voids

    @property
    def suspended(self) -> tuple[tuple[float, float], ...]:
        """When L0 was resumed from a suspension, and for how long it had slept, in seconds."""
        with self._lock:
            return tuple(self._suspended)

    def _listen(self, tells: IO[str]) -> None:
        for line in tells:
            word, *numbers = line.split()
            first, second = map(float, numbers)
            with self._lock:
                if word == "suspended":
                    self._suspended.append((first, second))
                else:
                    self._voids = merged((*self._voids, Window(first, second)))

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
    parser.add_argument("--process", type=Path)
    asked = parser.parse_args()
    probe(asked.limit_s, sys.stdin, sys.stdout, asked.process)


if __name__ == "__main__":
    main()
