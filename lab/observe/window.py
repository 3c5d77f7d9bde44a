# SPDX-License-Identifier: Apache-2.0
"""A stretch of time by L0's monotonic clock; pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of L0's monotonic clock, in seconds."""

    began: float
    ended: float

    @property
    def length(self) -> float:
        """Seconds from its beginning to its end."""
        return self.ended - self.began

    def overlap(self, other: Window) -> float:
        """Measure what two stretches have in common.

        Args:
            other: Another stretch of the same clock.

        Returns:
            Seconds; 0 if they have nothing in common.
        """
        return max(0.0, min(self.ended, other.ended) - max(self.began, other.began))
