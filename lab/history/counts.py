# SPDX-License-Identifier: Apache-2.0
"""What became of guests, counted by stated rules: who lived, who was lost, who cannot be told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from lab.history.statistics import Survival, survival
from lab.history.store import Alike, PastResult
from lab.record.classify import Standing
from lab.record.groups import fate

Fared = Literal["lived", "lost", "untold", ""]
_WANTED = {"survives": "Survived", "parks": "Parked"}


@dataclass(frozen=True, slots=True)
class Counts:
    """How results of one cell on one kernel came out.

    Attributes:
        lived: Guests that lived.
        judged: Guests of which can be told whether they lived.
        untold: Tries that came to nothing: Unproven, broken off, or void by L0's lateness, those
            that were tried again included.
        false_starts: Guests that never began to beat, and were started once more. They are in no
            other count: nothing was done to them.
        boots: Boots of hosts in which a guest was judged, where their ids are known.
        whole_boots: Those of them in which none was lost.
    """

    lived: int = 0
    judged: int = 0
    untold: int = 0
    false_starts: int = 0
    boots: int = 0
    whole_boots: int = 0

    @property
    def survival(self) -> Survival:
        """The claim that the counts allow if guests are independent of each other."""
        return survival(self.lived, self.judged)

    @property
    def worst(self) -> Survival:
        """The same if each try that cannot be told was a loss."""
        return survival(self.lived, self.judged + self.untold)

    @property
    def by_boot(self) -> Survival | None:
        """The claim for boots of hosts, of which guests depend on each other; None if unknown."""
        return survival(self.whole_boots, self.boots) if self.boots else None


def fared(row: PastResult | Alike) -> Fared:
    """Return what became of a guest.

    One that lived as it was to, and whose cell failed all the same (it was never adopted, or its
    kernel complained), did not live by this count.

    Args:
        row: Its result.

    Returns:
        "untold" if nothing is proven, "" if nothing was tried.
    """
    if row.standing == Standing.ABSENT:
        return ""
    became = fate(row.verdict)
    if row.standing == Standing.LAB or not became:
        return "untold"
    overturned = row.word == "FAIL" and _WANTED.get(row.expects) == row.verdict
    return "lived" if became == "lived" and not overturned else "lost"


def counted(rows: Iterable[PastResult | Alike]) -> Counts:
    """Count results; a void try is one that cannot be told, whatever came of the next.

    Args:
        rows: Of one cell, on one build of its kernel.

    Returns:
        The counts.
    """
    told = [(row, fared(row), row.times if isinstance(row, Alike) else 1) for row in rows]
    came: Counter[Fared] = Counter()
    for _, word, times in told:
        came[word] += times
    boots: dict[str, bool] = {}
    for row, word, _ in told:
        if row.boot_id and word in {"lived", "lost"}:
            boots[row.boot_id] = boots.get(row.boot_id, True) and word == "lived"
    return Counts(
        lived=came["lived"],
        judged=came["lived"] + came["lost"],
        untold=sum(times * max(row.voids, word == "untold") for row, word, times in told),
        false_starts=sum(times * row.false_starts for row, _, times in told),
        boots=len(boots),
        whole_boots=sum(boots.values()),
    )
