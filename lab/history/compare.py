# SPDX-License-Identifier: Apache-2.0
"""Kernels compared by their results in the history; accelerators are never mixed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from lab.config.fields import did_you_mean
from lab.errors import ConfigError
from lab.history.counts import Counts, counted, fared
from lab.history.statistics import Ranks, holm, odds, ranks
from lab.history.store import PastResult
from lab.record.groups import both


@dataclass(frozen=True, slots=True)
class Tally:
    """All results of one cell on one build of its kernel, on one accelerator."""

    cell: str
    accel: str
    kernel: str
    build_id: str
    results: tuple[PastResult, ...]  # oldest first

    @property
    def judged(self) -> tuple[PastResult, ...]:
        """The results of which can be told whether the guest lived."""
        return tuple(row for row in self.results if fared(row) in {"lived", "lost"})

    @property
    def counts(self) -> Counts:
        """How they came out."""
        return counted(self.results)

    @property
    def flaky(self) -> bool:
        """Whether it went both ways, which is never a pass."""
        return both(row.verdict for row in self.judged)

    @property
    def silences(self) -> tuple[float, ...]:
        """The longest silences of those that lived, in milliseconds."""
        lived = (row for row in self.results if fared(row) == "lived")
        return tuple(row.silence_ms for row in lived if row.silence_ms is not None)


@dataclass(frozen=True, slots=True)
class Pair:
    """One shape of cell on two kernels; Holm's p-values are paid for by all tests of all pairs."""

    shape: str
    accel: str
    a: Tally
    b: Tally
    ranks: Ranks
    odds: float | None
    adjusted: float | None = None  # of the ranks
    odds_adjusted: float | None = None


def tallied(results: Iterable[PastResult]) -> list[Tally]:
    """Group results by cell, accelerator and kernel build, in order of appearance.

    Where the build is unknown, those of one run are together, and no others.

    Args:
        results: From the history, oldest first.

    Returns:
        One tally for each.
    """
    found: dict[tuple[str, str, str, str, str], list[PastResult]] = defaultdict(list)
    for row in results:
        run = "" if row.build_id else row.run_id  # it is not known to be the kernel of another run
        found[row.cell, row.accel, row.kernel, row.build_id, run].append(row)
    return [
        Tally(cell, accel, kernel, build, tuple(rows))
        for (cell, accel, kernel, build, _), rows in found.items()
    ]


def compared(results: Sequence[PastResult], a: str, b: str) -> list[Pair]:
    """Compare kernel `a` with kernel `b`, wherever the same was done to both.

    Of each, the build that was run last counts; results of unknown builds do not.

    Args:
        results: From the history.
        a: A kernel's name in lab.toml, or the beginning of a build id.
        b: Another.

    Returns:
        One pair for each shape of cell and accelerator that both have results of.

    Raises:
        ConfigError: There are no results of one of them, or no shape has results of both.
    """
    sides = [_side(results, kernel) for kernel in (a, b)]
    shared = [key for key in sides[0] if key in sides[1]]
    if not shared:
        raise ConfigError(
            f"kernels {a!r} and {b!r} have no cell in common",
            hint="accelerators are not mixed; run the same cells with both kernels",
        )
    pairs = [_pair(*key, sides[0][key], sides[1][key]) for key in shared]
    return _adjusted(pairs)


def _adjusted(pairs: Sequence[Pair]) -> list[Pair]:
    told = [p for pair in pairs for p in (pair.ranks.p, pair.odds)]
    adjusted = iter(holm([p for p in told if p is not None]))
    paid = iter([None if p is None else next(adjusted) for p in told])
    return [replace(pair, adjusted=next(paid), odds_adjusted=next(paid)) for pair in pairs]


def _side(results: Sequence[PastResult], kernel: str) -> dict[tuple[str, str], Tally]:
    rows = [row for row in results if row.kernel == kernel]
    rows = rows or [row for row in results if row.build_id and row.build_id.startswith(kernel)]
    if not rows:
        names = sorted({row.kernel for row in results if row.kernel})
        hint = did_you_mean(kernel, names) or f"there are: {', '.join(names) or 'none yet'}"
        raise ConfigError(f"the history has no result of kernel {kernel!r}", hint=hint)
    if not any(row.build_id for row in rows):
        raise ConfigError(
            f"no result of kernel {kernel!r} tells its build: they may be of different kernels",
            hint="run its cells again; the build id is read from the running host",
        )
    found: dict[tuple[str, str], list[PastResult]] = defaultdict(list)
    for row in rows:
        if row.build_id:
            found[row.shape, row.accel].append(row)
    return {key: _of_one_build(key[1], each) for key, each in found.items()}


def _of_one_build(accel: str, rows: Sequence[PastResult]) -> Tally:
    """Return the results of the build that was run last: two builds are two kernels."""
    last = rows[-1]
    mine = tuple(row for row in rows if row.build_id == last.build_id)
    return Tally(last.cell, accel, last.kernel, last.build_id, mine)


def _pair(shape: str, accel: str, a: Tally, b: Tally) -> Pair:
    chance = None
    one, other = a.counts, b.counts
    if one.judged and other.judged:
        chance = odds(one.lived, one.judged - one.lived, other.lived, other.judged - other.lived)
    return Pair(shape, accel, a, b, ranks(a.silences, b.silences), chance)
