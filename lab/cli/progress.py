# SPDX-License-Identifier: Apache-2.0
"""Progress for people: a live bar on a terminal, plain lines that do not flood anywhere else."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from lab.events import Event, HostEvent, Progress, Sink, Step
from lab.record.labels import seconds

_EVERY_S = 20.0


@contextmanager
def progress_on(console: Console, *, everything: bool = False) -> Iterator[Sink]:
    """Yield a sink of events that shows them on a console.

    Args:
        console: Where; a terminal gets live bars, anything else plain lines.
        everything: Whether events of libvirt are shown, too.

    Yields:
        The sink, for any thread.
    """
    if not console.is_terminal:
        yield _Lines(console, everything=everything)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[usually]}"),
    )
    with Bars(*columns, console=console, transient=True) as bars:
        yield _Live(bars, everything=everything)


class _Sink(ABC):
    """Takes events from any thread, one at a time."""

    def __init__(self, *, everything: bool) -> None:
        self._everything = everything
        self._lock = Lock()

    def __call__(self, event: Event) -> None:
        with self._lock:
            match event:
                case Step(what=what):
                    self._say(what)
                case Progress():
                    self._progress(event)
                case HostEvent(host=host, what=what) if self._everything:
                    self._say(f"{host}: {what}")

    @abstractmethod
    def _say(self, text: str) -> None:
        """Print a line."""

    @abstractmethod
    def _progress(self, event: Progress) -> None:
        """Show how far a piece of work is."""


class _Lines(_Sink):
    """One line a step; of long work the beginning, the end, and now and then how far it is."""

    def __init__(self, console: Console, *, everything: bool) -> None:
        super().__init__(everything=everything)
        self._console = console
        self._begun: dict[str, float] = {}
        self._told: dict[str, float] = {}

    def _progress(self, event: Progress) -> None:
        what = event.what
        if what not in self._begun:
            self._begun[what] = self._told[what] = event.at
            self._say(f"{what}{_usually(event, before=': usually takes ')}")
        elif event.done >= event.total == 1:
            self._say(f"{what}: done in {seconds(event.at - self._begun.pop(what))}")
        elif event.at - self._told[what] >= _EVERY_S:
            self._told[what] = event.at
            far = 100 * event.done // event.total
            self._say(f"{what}: {far} % after {seconds(event.at - self._begun[what])}")

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)


class _Live(_Sink):
    """Bars at the bottom of a terminal, steps above them."""

    def __init__(self, bars: Bars, *, everything: bool) -> None:
        super().__init__(everything=everything)
        self._bars = bars
        self._tasks: dict[str, tuple[TaskID, float]] = {}

    def _progress(self, event: Progress) -> None:
        what = event.what
        if what not in self._tasks:
            usually = _usually(event, before="usually ")
            task = self._bars.add_task(what, total=event.total, usually=usually)
            self._tasks[what] = (task, time.monotonic())
            return
        task, began = self._tasks[what]
        if event.done >= event.total == 1:
            self._bars.remove_task(task)
            del self._tasks[what]
            self._say(f"{what}: done in {seconds(time.monotonic() - began)}")
        elif event.total > 1:
            self._bars.update(task, completed=event.done, total=event.total)

    def _say(self, text: str) -> None:
        self._bars.console.print(text, markup=False, soft_wrap=True)


def _usually(event: Progress, *, before: str) -> str:
    return f"{before}{seconds(event.usually)}" if event.usually else ""
