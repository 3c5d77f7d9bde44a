# SPDX-License-Identifier: Apache-2.0
"""Progress for people: a live bar on a terminal, plain lines that do not flood anywhere else."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Lock, Thread

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from lab.events import Event as Happening
from lab.events import HostEvent, Progress, Sink, Step
from lab.history.forecast import work_left
from lab.record.labels import seconds

_EVERY_S = 20.0  # plain lines
_TICK_S = 1.0


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
        with _ticking(lines := _Lines(console, everything=everything)):
            yield lines
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[far]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
    )
    with (
        Bars(*columns, console=console, transient=True) as bars,
        _ticking(live := _Live(bars, everything=everything)),
    ):
        yield live


@contextmanager
def _ticking(sink: _Sink) -> Iterator[None]:
    """Let time pass for a sink, once a second, until the block ends.

    Args:
        sink: The sink.
    """
    ended = Event()

    def tick() -> None:
        while not ended.wait(_TICK_S):
            sink.tick(time.monotonic())

    thread = Thread(target=tick, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@dataclass(slots=True)
class _Work:
    """A piece of work that has begun, and how far it is."""

    began: float
    last: Progress

    def far(self) -> str:
        now = self.last
        if now.total <= 1:
            return ""
        part = f"{now.done} of {now.total} {now.unit}" if now.unit else ""
        return part or f"{100 * now.done // now.total} %"

    def left(self, at: float) -> str:
        now, elapsed = self.last, at - self.began
        left = work_left(elapsed, now.done, now.total, now.usually, now.shape)
        if left is None:
            return ""
        return f"about {seconds(left)} left" if left else "longer than usual"


class _Sink(ABC):
    """Takes events from any thread, one at a time."""

    def __init__(self, *, everything: bool) -> None:
        self._everything = everything
        self._lock = Lock()
        self._works: dict[str, _Work] = {}

    def __call__(self, event: Happening) -> None:
        with self._lock:
            match event:
                case Step(what=what):
                    self._step(what)
                case Progress():
                    self._progress(event)
                case HostEvent(host=host, what=what) if self._everything:
                    self._say(f"{host}: {what}")

    def tick(self, at: float) -> None:
        """Let time pass: it is `at` now, in seconds on L0's monotonic clock."""
        with self._lock:
            self._passes(at)

    def _progress(self, event: Progress) -> None:
        if (work := self._works.get(event.what)) is None:
            self._works[event.what] = work = _Work(event.at, event)
            self._begin(work)
        elif event.done >= event.total == 1:
            del self._works[event.what]
            self._end(event.what, event.at - work.began)
        else:
            work.last = event
            self._on(work)

    def _end(self, what: str, took_s: float) -> None:
        self._say(f"{what}: done in {seconds(took_s)}")

    def _step(self, what: str) -> None:
        self._say(what)

    @abstractmethod
    def _say(self, text: str) -> None:
        """Print a line."""

    @abstractmethod
    def _begin(self, work: _Work) -> None:
        """Show that a piece of work begins."""

    @abstractmethod
    def _on(self, work: _Work) -> None:
        """Show that it has come further."""

    @abstractmethod
    def _passes(self, at: float) -> None:
        """Show that time passes."""


class _Lines(_Sink):
    """One line a step; of long work the beginning, the end, and every 20 s how far it is."""

    def __init__(self, console: Console, *, everything: bool) -> None:
        super().__init__(everything=everything)
        self._console = console
        self._told: dict[str, float] = {}
        self._now, self._since = "", 0.0
        self._said = time.monotonic()

    def _begin(self, work: _Work) -> None:
        self._told[work.last.what] = work.began
        usual = work.last.usually
        self._say(f"{work.last.what}{f': usually takes {seconds(usual)}' if usual else ''}")

    def _on(self, work: _Work) -> None:
        at, what = work.last.at, work.last.what
        if at - self._told[what] >= _EVERY_S:
            self._further(work, at)

    def _further(self, work: _Work, at: float) -> None:
        self._told[work.last.what] = at
        told = filter(None, (work.far(), f"after {seconds(at - work.began)}"))
        left = work.left(at)
        self._say(f"{work.last.what}: {' '.join(told)}{f', {left}' if left else ''}")

    def _step(self, what: str) -> None:
        self._now, self._since = what, time.monotonic()
        self._say(what)

    def _passes(self, at: float) -> None:
        if at - self._said < _EVERY_S:
            return
        for work in self._works.values():
            self._further(work, at)
        if not self._works and self._now:
            self._say(f"still after {seconds(at - self._since)}: {self._now}")

    def _say(self, text: str) -> None:
        self._said = time.monotonic()
        self._console.print(text, markup=False, soft_wrap=True)


class _Live(_Sink):
    """Bars at the bottom of a terminal, steps above them; the last step goes on as a bar."""

    def __init__(self, bars: Bars, *, everything: bool) -> None:
        super().__init__(everything=everything)
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}
        self._step_task: TaskID | None = None

    def _begin(self, work: _Work) -> None:
        now = work.last
        total = now.total if now.total > 1 else None  # it moves to and fro
        self._tasks[now.what] = self._bars.add_task(
            escape(now.what), total=total, far=work.far(), left=work.left(now.at)
        )

    def _on(self, work: _Work) -> None:
        now = work.last
        if now.total > 1:
            self._bars.update(
                self._tasks[now.what], completed=now.done, total=now.total, far=work.far()
            )

    def _end(self, what: str, took_s: float) -> None:
        self._bars.remove_task(self._tasks.pop(what))
        super()._end(what, took_s)

    def _step(self, what: str) -> None:
        self._say(what)
        if self._step_task is not None:
            self._bars.remove_task(self._step_task)
        self._step_task = self._bars.add_task(escape(what), total=None, far="", left="")

    def _passes(self, at: float) -> None:
        for what, work in self._works.items():
            self._bars.update(self._tasks[what], left=work.left(at))

    def _say(self, text: str) -> None:
        self._bars.console.print(text, markup=False, soft_wrap=True)
