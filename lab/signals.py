# SPDX-License-Identifier: Apache-2.0
"""Termination by signal: the first one unwinds what was begun, and no second one disturbs that.

A signal may come between any two steps. Where one step makes a thing and the next registers its
removal, `whole` defers it.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StoppedError(BaseException):
    """A signal asked this command to end; only the outermost frame may catch it.

    Args:
        number: The signal's number.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


class _Stop:
    """The signal that came, and how many blocks defer it; Python runs handlers in one thread."""

    def __init__(self, error: Callable[[int], BaseException]) -> None:
        self._error = error
        self._stopping = False
        self._waits: int | None = None
        self.depth = 0

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        if self._stopping:
            return
        self._stopping = True
        if self.depth:
            self._waits = number
        else:
            raise self._error(number)

    def leave(self) -> None:
        """End a block that defers; a deferred signal is raised when the outermost one ends."""
        self.depth -= 1
        if self._waits is not None and not self.depth:
            number, self._waits = self._waits, None
            raise self._error(number)


_current: list[_Stop] = []


@contextmanager
def stoppable(error: Callable[[int], BaseException] = StoppedError) -> Iterator[None]:
    """Turn the first signal that ends a command into an exception, for the block.

    Args:
        error: Makes the exception of the signal's number.
    """
    stop = _Stop(error)
    before = [signal.signal(each, stop) for each in _SIGNALS]
    _current.append(stop)
    try:
        yield
    finally:
        _current.pop()
        for each, handler in zip(_SIGNALS, before, strict=True):
            signal.signal(each, handler)


@contextmanager
def whole() -> Iterator[None]:
    """Defer a signal to the end of the block. What the block itself raises goes first."""
    if not _current or threading.current_thread() is not threading.main_thread():
        yield
        return
    stop = _current[-1]
    stop.depth += 1
    try:
        yield
    except BaseException:
        stop.depth -= 1
        raise
    stop.leave()
