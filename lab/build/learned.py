# SPDX-License-Identifier: Apache-2.0
"""How long each build took here, and how many objects it made: what the next one is told by."""

from __future__ import annotations

import fcntl
import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

NAME = ".learned.json"  # in the cache's folder, where nothing that empties the cache looks
_KEPT = 5
_PARTS = 20


@dataclass(frozen=True, slots=True)
class Learned:
    """What is known of one build step.

    Attributes:
        seconds: How long it took, the newest last; at most five.
        units: How many objects it made the last time; 0 if it makes none.
        shape: When, of all its time, each twentieth of its objects was made, as fractions.
    """

    seconds: tuple[float, ...] = ()
    units: int = 0
    shape: tuple[float, ...] = ()

    def usually_s(self, otherwise: float) -> float:
        """Return how long it usually takes.

        Args:
            otherwise: Seconds to return if it was never made here.

        Returns:
            Seconds.
        """
        return statistics.median(self.seconds) if self.seconds else otherwise


def shape_of(ticks: Sequence[float], took_s: float) -> tuple[float, ...]:
    """Return when, of all its time, each twentieth of a build's objects was made.

    Args:
        ticks: When each object was made, in seconds since the build began, in order.
        took_s: How long all of it took, in seconds.

    Returns:
        Twenty fractions, each as large as the one before or larger; none of no objects.
    """
    if not ticks or took_s <= 0:
        return ()
    at = [ticks[max(0, (n + 1) * len(ticks) // _PARTS - 1)] for n in range(_PARTS)]
    return tuple(round(min(1.0, tick / took_s), 4) for tick in at)


def learned(root: Path, what: str) -> Learned:
    """Return what is known of a build step.

    Args:
        root: The cache's folder.
        what: What is built, as a phrase for people.

    Returns:
        What is known; nothing where nothing can be read.
    """
    return _read(root / NAME).get(what, Learned())


def note(root: Path, what: str, took_s: float) -> None:
    """Note how long a build step took.

    Args:
        root: The cache's folder.
        what: What was built.
        took_s: Seconds.
    """
    _change(root, what, took_s=took_s)


def note_objects(root: Path, what: str, units: int, shape: tuple[float, ...]) -> None:
    """Note how many objects a build made, and when.

    Args:
        root: The cache's folder.
        what: What was built.
        units: How many.
        shape: As of `shape_of`.
    """
    _change(root, what, units=units, shape=shape)


def _change(
    root: Path,
    what: str,
    *,
    took_s: float | None = None,
    units: int | None = None,
    shape: tuple[float, ...] = (),
) -> None:
    path = root / NAME
    try:
        with (root / f"{NAME}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            known = _read(path)
            one = known.get(what, Learned())
            if took_s is not None:
                one = replace(one, seconds=(*one.seconds, round(took_s, 1))[-_KEPT:])
            if units is not None:
                one = replace(one, units=units, shape=shape)
            text = json.dumps({name: asdict(each) for name, each in {**known, what: one}.items()})
            beside = root / f"{NAME}.tmp"
            beside.write_text(text, encoding="utf-8")
            beside.rename(path)
    except OSError:  # another user's cache: what is told is no better than before
        return


def _read(path: Path) -> dict[str, Learned]:
    try:
        found = json.loads(path.read_bytes())
        return {
            name: Learned(tuple(one["seconds"]), one["units"], tuple(one["shape"]))
            for name, one in found.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # none yet, or cut short
