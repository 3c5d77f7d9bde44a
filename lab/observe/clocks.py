# SPDX-License-Identifier: Apache-2.0
"""L0's own clocks: whether it was suspended, and how long this thread waited for a CPU."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

_LEAST_S = 0.01
_TRIES = 5
_OWN = Path("/proc/thread-self/schedstat")


def _boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Clocks:
    """The monotonic clock stands while L0 is suspended, and CLOCK_BOOTTIME goes on.

    Args:
        monotonic: Seconds, without the time in which L0 was suspended.
        boottime: Seconds, with it.
        own: The file of what the scheduler counts of the thread that asks.

    Source: clock_gettime(2).
    """

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        boottime: Callable[[], float] = _boottime,
        own: Path = _OWN,
    ) -> None:
        self._monotonic, self._boottime, self._own = monotonic, boottime, own
        self._apart = self._measured()
        self._waited = self._counted()

    def asleep(self) -> float:
        """Measure for how long L0 was suspended since the last time that it was asked.

        Returns:
            Seconds; 0 for less than 10 ms.
        """
        apart = self._measured()
        slept, self._apart = apart - self._apart, apart
        return slept if slept > _LEAST_S else 0.0

    def waited(self) -> float:
        """Measure for how long the thread that asks waited for a CPU since the last time.

        Returns:
            Seconds; 0 where that is not counted.
        """
        now = self._counted()
        waited, self._waited = now - self._waited, now
        return waited / 1e9

    def _measured(self) -> float:
        """Read how far the clocks are apart, in the closest of some tries: a reading may be cut."""
        best = (float("inf"), 0.0)
        for _ in range(_TRIES):
            before, boot, after = self._monotonic(), self._boottime(), self._monotonic()
            best = min(best, (after - before, boot - before))
        return best[1]

    def _counted(self) -> int:
        try:
            return int(self._own.read_text(encoding="ascii").split()[1])
        except (OSError, IndexError, ValueError):
            return 0
