# SPDX-License-Identifier: Apache-2.0
"""The detection curve: how long a guest was stopped, against the verdict; pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from lab.record.detection import DetectionRecord
from lab.record.labels import milliseconds

LIMIT = 50.0  # where the limit is across, in per cent: from no stop at all to twice the limit
_MARKS = {"Survived": "lived", "Parked": "lived", "Lost": "lost", "Unproven": "open"}


@dataclass(frozen=True, slots=True)
class Dot:
    """One stop, at `x` per cent across; `mark` is "lived", "lost" or "open"."""

    x: float
    mark: str
    text: str


@dataclass(frozen=True, slots=True)
class Curve:
    """All stops of one kind of guest; `description` is the curve in words.

    Attributes:
        sharp: Each stop below the limit was lived through, and each above it was lost.
    """

    guest: str
    dots: tuple[Dot, ...]
    sharp: bool
    description: str


def curves(found: Iterable[DetectionRecord]) -> tuple[Curve, ...]:
    """Lay out one curve for each kind of guest.

    Args:
        found: All stops of a run.

    Returns:
        The curves, by the guest's kind.
    """
    by_kind = sorted(found, key=lambda one: (one.guest, one.stop_ms / one.limit_ms))
    return tuple(_curve(kind, list(each)) for kind, each in groupby(by_kind, lambda o: o.guest))


def _curve(kind: str, found: list[DetectionRecord]) -> Curve:
    marks = [_MARKS[one.verdict] for one in found]
    below = [m for m, one in zip(marks, found, strict=True) if one.stop_ms < one.limit_ms]
    above = [m for m, one in zip(marks, found, strict=True) if one.stop_ms >= one.limit_ms]
    told = [
        f"{kind}: of {len(each)} stops {where} the limit, {each.count('lived')} were lived "
        f"through, {each.count('lost')} were losses, {each.count('open')} could not be told."
        for where, each in (("below", below), ("above", above))
    ]
    return Curve(
        guest=kind,
        dots=tuple(_dot(one) for one in found),
        sharp=set(below) <= {"lived"} and set(above) <= {"lost"},
        description=" ".join(told),
    )


def _dot(one: DetectionRecord) -> Dot:
    share = one.stop_ms / one.limit_ms
    by = f" by {one.check}" if one.check else ""
    text = f"stopped for {milliseconds(one.stop_ms)}, {100 * share:.0f} % of the limit: "
    return Dot(round(min(100.0, LIMIT * share), 2), _MARKS[one.verdict], f"{text}{one.verdict}{by}")
