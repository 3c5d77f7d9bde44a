# SPDX-License-Identifier: Apache-2.0
"""What happened, as data. Printing, recording and reporting are listeners."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened at `at`, seconds on L0's monotonic clock."""

    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(Event):
    """One step of the story: what is being done, to what."""

    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(Event):
    """How far a long piece of work is: `done` of `total` units; `usually` is seconds, if known.

    `unit` is what is counted, as "objects"; `shape` says when, of all its time, each of so many
    equal parts of it is usually done, as fractions.
    """

    what: str
    done: int
    total: int
    usually: float | None = None
    unit: str = ""
    shape: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HostEvent(Event):
    """Something about one L1: a life-cycle change that libvirt saw, or a state it entered."""

    host: str
    what: str


Sink = Callable[[Event], None]


def nowhere(event: Event) -> None:
    """Drop an event.

    Args:
        event: The event.
    """
