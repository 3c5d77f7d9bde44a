# SPDX-License-Identifier: Apache-2.0
"""How long what is being done will still take, by what earlier runs and builds took; pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from itertools import pairwise

_FROM = 0.1  # of a piece of work, before its own pace is worth more than what was learned
_WEIGHT = 2  # of what was learned, in things that have ended


def work_left(
    elapsed: float, done: int, total: int, usual: float | None, shape: Sequence[float] = ()
) -> float | None:
    """Return how long one piece of work will still take.

    Until a tenth of it is done, by how long it usually takes; then by its own pace.

    Args:
        elapsed: Seconds since it began.
        done: How many of its units are done.
        total: How many there are.
        usual: Seconds that all of it usually takes; None if that is not known.
        shape: When, of all its time, each of so many equal parts of its units is usually done, as
            fractions; none if they are done evenly.

    Returns:
        Seconds; 0 if it should have ended by now; None if nothing is known.
    """
    part = min(1.0, done / total) if total > 1 else 0.0
    if part >= _FROM and (at := _at(part, shape)) > 0:
        return max(0.0, elapsed / at - elapsed)
    return max(0.0, usual - elapsed) if usual else None


def _at(part: float, shape: Sequence[float]) -> float:
    """Return at which fraction of its time a fraction of the units is done."""
    if not shape:
        return part
    where = part * len(shape)
    ends = list(pairwise((0.0, *shape)))
    low, high = ends[min(int(where), len(shape) - 1)]
    return low + (high - low) * min(1.0, where - min(int(where), len(shape) - 1))


class Ladder:
    """How long a run will still take; told when each thing of it begins and ends.

    What earlier runs took is scaled by how the things that have ended compare with it: a slower
    machine, and what lies between two tests, are seen by that.
    """

    def __init__(
        self, planned: Mapping[str, str], usual: Mapping[str, float], workers: int = 1
    ) -> None:
        """Begin with nothing done.

        Args:
            planned: What will be run: a name for each, and the id by which it was learned.
            usual: Seconds that each took in earlier runs, by id.
            workers: How many of them run side by side.
        """
        self._ids = dict(planned)
        known = [usual[i] for i in self._ids.values() if i in usual]
        self._mean = statistics.mean(known) if known else 0.0
        self._usual = usual
        self._workers = max(1, workers)
        self._running: dict[str, float] = {}
        self._took: dict[str, float] = {}

    @property
    def running(self) -> Mapping[str, float]:
        """What runs now, and when it began."""
        return dict(self._running)

    @property
    def ended(self) -> int:
        """How many things have ended."""
        return len(self._took)

    @property
    def planned(self) -> int:
        """How many things are run in all."""
        return len(self._ids)

    def begin(self, name: str, at: float) -> None:
        """Note that one begins.

        Args:
            name: Its name.
            at: Seconds on any clock.
        """
        if name in self._ids:
            self._running.setdefault(name, at)

    def end(self, name: str, at: float) -> None:
        """Note that one has ended.

        Args:
            name: Its name.
            at: Seconds on the same clock.
        """
        if name in self._running:
            self._took[name] = at - self._running.pop(name)

    def usually(self, name: str) -> float | None:
        """Return how long one takes, by earlier runs and by how fast this one is.

        Args:
            name: Its name.

        Returns:
            Seconds; None if nothing is known.
        """
        guess = self._guess(name)
        return guess * self._pace() if guess else None

    def left_s(self, at: float) -> float | None:
        """Return how long all that has not ended will still take.

        Args:
            at: Now, on the clock of `begin` and `end`.

        Returns:
            Seconds; None if nothing is known.
        """
        pace, left = self._pace(), 0.0
        for name in self._ids.keys() - self._took.keys():
            if not (guess := self._guess(name)):
                return None
            since = self._running.get(name)
            left += guess * pace if since is None else max(0.0, guess * pace - (at - since))
        return left / self._workers

    def _guess(self, name: str) -> float:
        so_far = statistics.mean(self._took.values()) if self._took else 0.0
        return self._usual.get(self._ids[name], self._mean) or so_far

    def _pace(self) -> float:
        known = [(took, self._usual[self._ids[name]]) for name, took in self._took.items()
                 if self._ids[name] in self._usual]  # fmt: skip
        before = _WEIGHT * self._mean
        learned = sum(usual for _, usual in known) + before
        return (sum(took for took, _ in known) + before) / learned if learned else 1.0
