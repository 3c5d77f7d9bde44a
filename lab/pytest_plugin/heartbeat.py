# SPDX-License-Identifier: Apache-2.0
"""How far a run of cells is, and the time left: what pytest itself is silent about."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from threading import Event, RLock, Thread
from typing import Protocol

import pytest

from lab.errors import LabError
from lab.history.forecast import Ladder
from lab.history.store import NAME as HISTORY
from lab.history.store import opened
from lab.pytest_plugin.run import Run
from lab.pytest_plugin.turns import turn_of
from lab.record.labels import seconds
from lab.resources.ledger import state_dir

TERMINAL_S, LOG_S = 1.0, 20.0
_CLEAR = "\r\x1b[K"


class Terminal(Protocol):
    """What of pytest's terminal reporter is used here."""

    currentfspath: object
    """What the line is about that pytest is in; None if it is in none."""

    @property
    def isatty(self) -> bool:
        """Whether somebody looks."""

    def ensure_newline(self) -> None:
        """End the line that pytest is in."""

    def write(self, content: str, *, flush: bool = False) -> None:
        """Write.

        Args:
            content: The text, with its line ends.
            flush: Whether it has to be seen at once.
        """


class Heartbeat:
    """Shows how far a run is: a line that changes each second on a terminal, one in 20 s in a log.

    Only the process that reports has one, which with xdist runs no test itself.
    """

    def __init__(self, run: Run, terminal: Terminal | None = None) -> None:
        """Show nothing yet.

        Args:
            run: The run.
            terminal: pytest's terminal reporter; None for the one that there is by the first test.
        """
        self._run = run
        self._terminal = terminal
        self._lock = RLock()
        self._stop = Event()
        self._shown = False
        self._told = time.monotonic()
        self._thread: Thread | None = None
        self._fd = -1
        self.ladder = Ladder({}, {})

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Learn from earlier runs how long what was chosen takes.

        Args:
            session: With the tests that were chosen.
        """
        if session.config.option.collectonly or not session.items:
            return
        # Not before: where options of the lab are typed, this is made before pytest's reporter is.
        manager = session.config.pluginmanager
        self._terminal = self._terminal or manager.getplugin("terminalreporter")
        if self._terminal is None:
            return
        planned = {
            item.nodeid: turn[0].id if (turn := turn_of(item)) else item.nodeid
            for item in session.items
        }
        self.ladder = Ladder(planned, self._usual(session.items[0]), self._workers(session))
        self._fd = os.dup(1)  # nothing is captured now; while a test runs, 1 is
        self._thread = Thread(target=self._beat, name="heartbeat", daemon=True)
        self._thread.start()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logstart(self, nodeid: str) -> Generator[None, object, object]:
        """Note that a test begins.

        Args:
            nodeid: Its id.

        Yields:
            Once, for pytest to print it.
        """
        self.ladder.begin(nodeid, time.monotonic())
        return (yield from self._aside())

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self) -> Generator[None, object, object]:
        """Make room for what pytest prints of a test.

        Yields:
            Once, for pytest to print it.
        """
        return (yield from self._aside())

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logfinish(self, nodeid: str) -> Generator[None, object, object]:
        """Note that a test has ended.

        Args:
            nodeid: Its id.

        Yields:
            Once, for pytest to print it.
        """
        self.ladder.end(nodeid, time.monotonic())
        return (yield from self._aside())

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Fall silent."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        with self._lock:
            self._clear()
        if self._fd >= 0:
            os.close(self._fd)

    def tick(self, at: float) -> None:
        """Let time pass.

        Args:
            at: Now, on L0's monotonic clock, in seconds.
        """
        terminal = self._terminal
        if terminal is None:
            return
        every = TERMINAL_S if terminal.isatty else LOG_S
        with self._lock:
            if not self.ladder.running or at - self._told < every:
                return
            self._told = at
            if not terminal.isatty:
                self._write(f"{self._newline(terminal)}  {line(self.ladder, at)}\n")
                return
            self._write(f"{self._newline(terminal)}{_CLEAR}  {line(self.ladder, at)}")
            self._shown = True

    def _beat(self) -> None:
        while not self._stop.wait(TERMINAL_S):
            self.tick(time.monotonic())

    def _aside(self) -> Generator[None, object, object]:
        with self.room():
            return (yield)

    @contextmanager
    def room(self) -> Iterator[None]:
        """Take the changing line away, for the block to print.

        Yields:
            Nothing, once there is room; the line comes back by itself.
        """
        with self._lock:
            self._clear()
            self._told = time.monotonic()
            yield

    def _clear(self) -> None:
        if self._shown:
            self._write(_CLEAR)
            self._shown = False

    @staticmethod
    def _newline(terminal: Terminal) -> str:
        """Return what ends the line that pytest is in, which it then begins anew."""
        inside, terminal.currentfspath = terminal.currentfspath, None
        return "\n" if inside else ""

    def _write(self, text: str) -> None:
        """Write to where pytest's output goes, also while a test's own is captured."""
        os.write(self._fd, text.encode(errors="replace"))

    def _usual(self, item: pytest.Item) -> Mapping[str, float]:
        try:
            path = state_dir(self._run.lab(item.path.parent).state) / HISTORY
            if not path.exists():
                return {}
            with opened(path) as book:
                return book.durations()
        except LabError:  # it is told elsewhere; here, nothing was learned
            return {}

    @staticmethod
    def _workers(session: pytest.Session) -> int:
        return len(getattr(session.config.option, "tx", None) or ()) or 1


def line(ladder: Ladder, at: float) -> str:
    """Return how far a run is, as one line.

    Args:
        ladder: The run.
        at: Now, on the clock of the ladder, in seconds.

    Returns:
        What has ended, how long that will still take, and what runs for how long of how long.
    """
    left = ladder.left_s(at)
    rest = f"about {seconds(left)} left" if left is not None else "nothing to foretell it by"
    runs = []
    for name, began in ladder.running.items():
        usually = ladder.usually(name)
        of = f" of about {seconds(usually)}" if usually else ""
        runs.append(f"{short(name)} {seconds(at - began)}{of}")
    return f"{ladder.ended} of {ladder.planned} done, {rest}: {', '.join(runs)}"


def short(name: str) -> str:
    """Return what tells a test from the others of its run: its parameters, or else its name.

    Args:
        name: pytest's node id.

    Returns:
        As "x86_64-tcg-stock-linux-qemu-vmm_kill".
    """
    last = name.rpartition("::")[2]
    return last.partition("[")[2].rstrip("]") or last
