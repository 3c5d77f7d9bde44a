# SPDX-License-Identifier: Apache-2.0
"""What a machine went through, and what of that neither the lab nor the machine itself did."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Condition

BY_ITSELF = "by itself"
# What a machine's own kernel does: of that its guests are told by, and it is judged.
_OWN = frozenset(
    {
        f"reset: {BY_ITSELF}",
        f"shutting down: {BY_ITSELF}",
        "stopped: powered off",
        "crashed: its kernel panicked",
        "crashed: a crash kernel takes over",
    }
)
_HARMLESS = frozenset({"defined", "undefined"})
_ARRIVES_S = 5.0  # an event comes after the answer to what made it


@dataclass(frozen=True, slots=True)
class Happening:
    """A change of a machine's life cycle, as libvirt told it: "paused", "stopped: destroyed".

    Attributes:
        at: When it was told, on L0's monotonic clock, in seconds.
        what: Libvirt's words for it.
        expected: The lab had announced that it would do this.
    """

    at: float
    what: str
    expected: bool

    @property
    def by_others(self) -> bool:
        """Whether neither the lab nor the machine itself did it."""
        return not (self.expected or self.what in _OWN or self.what in _HARMLESS)


@dataclass(slots=True, eq=False)
class _Announced:
    """One event that is to come, until when: two of the same word are two."""

    word: str
    until: float = float("inf")


class Happenings:
    """The changes of one machine's life cycle, in order.

    Args:
        clock: L0's monotonic clock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, Condition()
        self._all: list[Happening] = []
        self._announced: list[_Announced] = []

    @contextmanager
    def announced(self, *words: str, told_within_s: float = 0.0) -> Iterator[None]:
        """Announce what the block will do to the machine; each word excuses one event.

        Args:
            words: First words of libvirt's: "paused", "reset".
            told_within_s: Seconds to wait behind the block until libvirt has told of all of it, for
                what is done again and again: such an event is then never late, and none is left
                that would excuse what others do. If it does not come, it is not expected any more.
        """
        ours = [_Announced(word) for word in words]
        with self._lock:
            self._announced += ours
        try:
            yield
            if told_within_s:
                self._await(ours, told_within_s)
        finally:
            with self._lock:
                for one in ours:
                    one.until = self._clock() + _ARRIVES_S

    def note(self, what: str) -> None:
        """Note a change that libvirt told.

        Args:
            what: Such as "stopped: powered off".
        """
        at, word = self._clock(), what.partition(":")[0]
        with self._lock:
            self._announced = [one for one in self._announced if one.until >= at]
            ours = next((one for one in self._announced if one.word == word), None)
            if ours is not None:
                self._announced.remove(ours)
            self._all.append(Happening(at, what, ours is not None))
            self._lock.notify_all()

    def _await(self, ours: list[_Announced], seconds: float) -> None:
        with self._lock:
            self._lock.wait_for(lambda: not any(one in self._announced for one in ours), seconds)
            self._announced = [one for one in self._announced if one not in ours]

    @property
    def by_others(self) -> tuple[Happening, ...]:
        """What neither the lab nor the machine itself did, oldest first."""
        with self._lock:
            return tuple(one for one in self._all if one.by_others)
