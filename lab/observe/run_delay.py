# SPDX-License-Identifier: Apache-2.0
"""How long threads waited for a CPU, as the scheduler of L0 counts it, and what its CPUs lost.

A probe that sleeps is woken before threads that have computed for long, and so is in time where
the vCPUs of a host are late: it is what they waited that tells.

Source: Documentation/scheduler/sched-stats.rst, /proc/<pid>/schedstat; proc_stat(5), "steal".
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.errors import InfraError
from lab.observe.window import Window

_VCPU = re.compile(r"(CPU \d+|ALL CPUs)/")  # QEMU's name of a vCPU's thread, by debug-threads=on
_SETTLED_S = 2.0  # a CPU without a tick tells once a second how long its thread has run
_HALTED = frozenset("tT")
_STEAL = 8  # word of a line of /proc/stat
_READ = 4096


@dataclass(frozen=True, slots=True)
class Reading:
    """What a thread has done since its start: ns on a CPU, ns waited for one, times it got one."""

    state: str
    ran: int
    waited: int
    turns: int


class Waits:
    """One thread: when it waited for longer than the limit.

    Args:
        first: What it had done at `at`.
        at: When that was read, on L0's clock, in seconds.
        limit_s: How long it may wait, all told from one reading to the next.
    """

    def __init__(self, first: Reading, at: float, limit_s: float) -> None:
        self._last, self._limit = first, limit_s
        self._at = self._since = at

    def take(self, now: Reading, at: float) -> Window | None:
        """Compare it with the last reading.

        A wait is counted when it is over, so it ended since the last reading, and began before.
        One that is not over is told by a thread that could run, and has not for two seconds.

        Args:
            now: What it has done by `at`.
            at: When that was read, in seconds.

        Returns:
            The stretch in which it waited, or was stopped by a signal; None if within the limit.
        """
        last, before = self._last, self._at
        self._last, self._at = now, at
        waited = (now.waited - last.waited) / 1e9
        if waited > self._limit:
            self._since = at
            return Window(at - waited, at)
        if now.state in _HALTED and last.state in _HALTED:
            return Window(before, at)
        still = now.state == last.state == "R" and now == last
        if not still:
            self._since = at
        return Window(self._since, at) if at - self._since > _SETTLED_S else None


class Thread:
    """A thread of another process.

    Args:
        task: Its folder in /proc.

    Raises:
        OSError: It cannot be read.
    """

    def __init__(self, task: Path) -> None:
        self.name = (task / "comm").read_text(encoding="utf-8", errors="replace").strip()
        self._stat = os.open(task / "stat", os.O_RDONLY)
        try:
            self._counts = os.open(task / "schedstat", os.O_RDONLY)
        except OSError:
            os.close(self._stat)
            raise

    def read(self) -> Reading:
        """Read what it has done so far.

        Raises:
            OSError: It has ended.
        """
        counts = os.pread(self._counts, _READ, 0).split()
        state = os.pread(self._stat, _READ, 0).rpartition(b")")[2].split()[0]
        return Reading(state.decode(), *map(int, counts))

    def close(self) -> None:
        """Let go of it."""
        os.close(self._stat)
        os.close(self._counts)


class RunDelay:
    """The threads of a QEMU that its host's time hangs on: those of vCPUs, and its main loop.

    Args:
        process: QEMU's folder in /proc.
        limit_s: How long each may wait for a CPU, in seconds.
        at: Now, by L0's clock, in seconds.

    Raises:
        InfraError: The scheduler's counts cannot be read, or no thread is one of a vCPU's.
    """

    def __init__(self, process: Path, limit_s: float, at: float) -> None:
        self._threads: dict[Thread, Waits] = {}
        self.vcpus = 0
        try:
            for task in sorted(process.glob("task/[0-9]*")):
                self._add(Thread(task), task.name == process.name, limit_s, at)
        except OSError as e:
            self.close()
            raise InfraError(f"{e.filename or process}: {e.strerror}") from e
        if not self.vcpus:
            self.close()
            raise InfraError(f"{process} has no vCPU's thread whose waiting is counted")

    def sample(self, at: float) -> Iterator[Window]:
        """Read all threads.

        Args:
            at: Now, in seconds.

        Returns:
            Each stretch in which one of them waited for too long.
        """
        for thread, waits in list(self._threads.items()):
            try:
                late = waits.take(thread.read(), at)
            except OSError:  # it has ended
                thread.close()
                del self._threads[thread]
                continue
            if late is not None:
                yield late

    def close(self) -> None:
        """Let go of all."""
        for thread in self._threads:
            thread.close()
        self._threads = {}

    def _add(self, thread: Thread, is_main: bool, limit_s: float, at: float) -> None:
        is_vcpu = _VCPU.match(thread.name) is not None
        first = thread.read()
        if first.turns and (is_vcpu or is_main):  # without CONFIG_SCHED_INFO all are zeros
            self._threads[thread] = Waits(first, at, limit_s)
            self.vcpus += is_vcpu
        else:
            thread.close()


class Steal:
    """What the machine below L0 took from each of its CPUs, in ticks.

    Args:
        limit_s: How much may be taken from one, from one sample to the next, in seconds.
        path: /proc/stat.
    """

    def __init__(self, limit_s: float, path: Path = Path("/proc/stat")) -> None:
        self._limit, self._path = limit_s, path
        self._tick = 1 / os.sysconf("SC_CLK_TCK")
        self._last = self._read()

    def sample(self, at: float) -> Iterator[Window]:
        """Read all CPUs.

        Args:
            at: Now, in seconds.

        Returns:
            For each of which too much was taken since the last sample, a stretch of that length.
        """
        now = self._read()
        for cpu, ticks in now.items():
            stolen = (ticks - self._last.get(cpu, ticks)) * self._tick
            if stolen > self._limit:
                yield Window(at - stolen, at)
        self._last = now

    def _read(self) -> dict[str, int]:
        lines = (line.split() for line in self._path.read_text(encoding="ascii").splitlines())
        return {
            words[0]: int(words[_STEAL])
            for words in lines
            if words and re.fullmatch(r"cpu\d+", words[0]) and len(words) > _STEAL
        }


def merged(windows: Iterable[Window]) -> tuple[Window, ...]:
    """Join windows that overlap or touch.

    Args:
        windows: In any order.

    Returns:
        Those that are left, in order.
    """
    found: list[Window] = []
    for window in sorted(windows, key=lambda w: w.began):
        if found and window.began <= found[-1].ended:
            found[-1] = Window(found[-1].began, max(found[-1].ended, window.ended))
        else:
            found.append(window)
    return tuple(found)
