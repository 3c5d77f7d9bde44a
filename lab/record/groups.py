# SPDX-License-Identifier: Apache-2.0
"""A cell with its repeats as one: the worst outcome counts, and both outcomes is flaky."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from lab.record.classify import Classified, Standing, standing, status_of
from lab.record.labels import FLAKY, word
from lab.record.model import CellRecord, RunRecord
from lab.record.tries import flaky as retried_both_ways

_WORST = (Standing.PRODUCT, Standing.LAB, Standing.ABSENT, Standing.EXPECTED)
_FATES = {"Survived": "lived", "Parked": "lived", "Lost": "died"}


@dataclass(frozen=True, slots=True)
class Group:
    """All repeats of one cell in one run.

    Attributes:
        cells: The repeats in order; there is at least one.
        flaky_before: Whether it both lived and died on this very kernel, other runs counted.
        must_run: Whether it may not be absent.
    """

    cells: tuple[CellRecord, ...]
    flaky_before: bool = False
    must_run: bool = False

    @property
    def worst(self) -> CellRecord:
        """The repeat that counts: what failed before what cannot be told, the first of several."""
        return min(self.cells, key=lambda cell: _WORST.index(standing(cell)))

    def classified(self, cell: CellRecord, *, name: str) -> Classified:
        """Return what became of one of the repeats.

        Args:
            cell: The repeat.
            name: What it is called.

        Returns:
            Its status, with its record.
        """
        return Classified(name, status_of(cell, must_run=self.must_run), record=cell)

    @property
    def id(self) -> str:
        """The id of the cell."""
        return self.cells[0].id

    @property
    def dimensions(self) -> Mapping[str, object]:
        """Its place on the ladder."""
        return self.cells[0].dimensions

    @property
    def standing(self) -> Standing:
        """The standing of the repeat that counts."""
        return standing(self.worst)

    @property
    def flaky(self) -> bool:
        """Whether it both lived and died on one kernel, or a retry came out otherwise."""
        if any(retried_both_ways(cell) for cell in self.cells):
            return True
        judged = (c for c in self.cells if standing(c) is not Standing.LAB)
        return self.flaky_before or both(c.verdict.kind for c in judged if c.verdict)

    @property
    def word(self) -> str:
        """The outcome in one word; what goes both ways is never a pass."""
        known = self.standing in {Standing.EXPECTED, Standing.PRODUCT}
        return FLAKY if self.flaky and known else word(self.worst, must_run=self.must_run)

    @property
    def verdicts(self) -> str:
        """What the judge said: `Survived`, or `Survived 4, Lost 1` where repeats differ."""
        kinds = Counter(c.verdict.kind for c in self.cells if c.verdict)
        if len(kinds) <= 1:
            return next(iter(kinds), "")
        return ", ".join(f"{kind} {count}" for kind, count in kinds.most_common())

    @property
    def silences(self) -> tuple[float, ...]:
        """The longest silence of each repeat that did not lose its guest, in milliseconds."""
        return tuple(
            ms
            for c in self.cells
            if c.verdict and fate(c.verdict.kind) == "lived"
            if (ms := c.verdict.longest_silence_ms) is not None
        )

    @property
    def longest_ms(self) -> float | None:
        """The longest silence of any repeat, in milliseconds."""
        each = (c.verdict.longest_silence_ms for c in self.cells if c.verdict)
        return max((ms for ms in each if ms is not None), default=None)

    @property
    def tally(self) -> str:
        """How many repeats came out as expected: `4 of 5`; empty when it was done once."""
        if len(self.cells) == 1 or self.standing is Standing.ABSENT:
            return ""
        good = sum(standing(c) is Standing.EXPECTED for c in self.cells)
        return f"{good} of {len(self.cells)}"


def grouped(record: RunRecord, *, flaky: Collection[str] = ()) -> tuple[Group, ...]:
    """Group the repeats of each cell, in the order in which cells come first.

    Args:
        record: The run.
        flaky: Ids of cells that are known to have lived and died on the kernel that they ran on.

    Returns:
        One group for each cell id.
    """
    found: dict[str, list[CellRecord]] = {}
    for cell in record.cells:
        found.setdefault(cell.id, []).append(cell)
    return tuple(
        Group(tuple(each), cell_id in flaky, cell_id in record.must_run)
        for cell_id, each in found.items()
    )


def fate(kind: str | None) -> str:
    """Return whether a verdict's guest lived or died.

    Args:
        kind: The verdict's kind; None for a cell without one.

    Returns:
        "lived", "died", or "" if that is not known.
    """
    return _FATES.get(kind or "", "")


def both(kinds: Iterable[str | None]) -> bool:
    """Return whether guests both lived and died in these verdicts.

    Args:
        kinds: The verdicts' kinds; None for a cell without one.

    Returns:
        True if they did.
    """
    return {"lived", "died"} <= {fate(kind) for kind in kinds}
