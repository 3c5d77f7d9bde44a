# SPDX-License-Identifier: Apache-2.0
"""Waiting, in one place. Timeouts shrink as they are passed on; deadlines do not."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import RetryCallState, RetryError, Retrying, retry_if_result, wait_fixed
from tenacity.stop import stop_base

from lab.errors import DeadlineError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point on the monotonic clock, in seconds, by which something must be done."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """Return the deadline that is `seconds` from now.

        Args:
            seconds: How far away.

        Returns:
            The deadline.
        """
        return cls(time.monotonic() + seconds)

    @property
    def left(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at - time.monotonic())

    def capped(self, seconds: float) -> Deadline:
        """Return the earlier of this deadline and the one that is `seconds` from now.

        Args:
            seconds: How far away at most.

        Returns:
            The deadline.
        """
        return Deadline(min(self.at, time.monotonic() + seconds))


class _StopAt(stop_base):
    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline

    def __call__(self, retry_state: RetryCallState) -> bool:
        return self._deadline.left == 0.0


def until(what: str, probe: Callable[[], T | None], by: Deadline, *, every: float = 0.1) -> T:
    """Call `probe` until it returns something other than None.

    Args:
        what: What is being waited for, as a phrase: "sshd on l1-a".
        probe: Returns None for "not yet"; anything it raises ends the wait.
        by: When to give up.
        every: Seconds between two calls.

    Returns:
        What `probe` returned.

    Raises:
        DeadlineError: `by` has passed; the message says what was waited for.
    """
    retrying = Retrying(
        stop=_StopAt(by), wait=wait_fixed(every), retry=retry_if_result(lambda r: r is None)
    )
    try:
        found = retrying(probe)
    except RetryError as e:
        raise DeadlineError(f"waited for {what}, which did not come") from e
    assert found is not None  # noqa: S101 - the loop above ends on nothing else
    return found


def pause(seconds: float) -> None:
    """Let time pass, where time itself is what is wanted: a watch, a sampling interval.

    Args:
        seconds: How long.
    """
    time.sleep(seconds)  # noqa: TID251 - the one place
