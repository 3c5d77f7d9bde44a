# SPDX-License-Identifier: Apache-2.0
"""Kernels compared by their results in the history; accelerators are never mixed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lab.config.fields import did_you_mean
from lab.errors import ConfigError
from lab.history.statistics import Ranks, Survival, discovered, odds, ranks, survival
from lab.history.store import PastResult
from lab.record.classify import Standing
from lab.record.groups import both, fate


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
        """The results that say whether the guest lived."""
        return tuple(
            row for row in self.results if row.standing != Standing.LAB and fate(row.verdict)
        )

    @property
    def lived(self) -> int:
        """In how many of them the guest lived."""
        return sum(fate(row.verdict) == "lived" for row in self.judged)

    @property
    def flaky(self) -> bool:
        """Whether it went both ways, which is never a pass."""
        return both(row.verdict for row in self.judged)

    @property
    def silences(self) -> tuple[float, ...]:
        """The longest silences of those that lived, in milliseconds."""
        lived = (row for row in self.judged if fate(row.verdict) == "lived")
        return tuple(row.silence_ms for row in lived if row.silence_ms is not None)

    @property
    def survival(self) -> Survival:
        """The claim that the counts allow."""
        return survival(self.lived, len(self.judged))


@dataclass(frozen=True, slots=True)
class Pair:
    """One shape of cell on two kernels; `adjusted` is the ranks' p, paid for by all pairs."""

    shape: str
    accel: str
    a: Tally
    b: Tally
    ranks: Ranks
    odds: float | None
    adjusted: float | None = None


def tallied(results: Iterable[PastResult]) -> list[Tally]:
    """Group results by cell, accelerator and kernel build, in order of appearance.

    Args:
        results: From the history, oldest first.

    Returns:
        One tally for each.
    """
    found: dict[tuple[str, str, str, str], list[PastResult]] = defaultdict(list)
    for row in results:
        found[row.cell, row.accel, row.kernel, row.build_id].append(row)
    return [Tally(*key, tuple(rows)) for key, rows in found.items()]


def compared(results: Sequence[PastResult], a: str, b: str) -> list[Pair]:
    """Compare kernel `a` with kernel `b`, wherever the same was done to both.

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
    known = [n for n, pair in enumerate(pairs) if pair.ranks.p is not None]
    adjusted = dict(
        zip(
            known,
            discovered([p for n in known if (p := pairs[n].ranks.p) is not None]),
            strict=True,
        )
    )
    return [
        Pair(p.shape, p.accel, p.a, p.b, p.ranks, p.odds, adjusted.get(n))
        for n, p in enumerate(pairs)
    ]


def _side(results: Sequence[PastResult], kernel: str) -> dict[tuple[str, str], Tally]:
    rows = [row for row in results if row.kernel == kernel]
    rows = rows or [row for row in results if row.build_id and row.build_id.startswith(kernel)]
    if not rows:
        names = sorted({row.kernel for row in results if row.kernel})
        hint = did_you_mean(kernel, names) or f"there are: {', '.join(names) or 'none yet'}"
        raise ConfigError(f"the history has no result of kernel {kernel!r}", hint=hint)
    found: dict[tuple[str, str], list[PastResult]] = defaultdict(list)
    for row in rows:
        found[row.shape, row.accel].append(row)
    return {
        key: Tally(each[0].cell, key[1], each[0].kernel, _builds(each), tuple(each))
        for key, each in found.items()
    }


def _builds(rows: Sequence[PastResult]) -> str:
    return ", ".join(dict.fromkeys(row.build_id[:12] for row in rows if row.build_id))


def _pair(shape: str, accel: str, a: Tally, b: Tally) -> Pair:
    chance = None
    if a.judged and b.judged:
        chance = odds(a.lived, len(a.judged) - a.lived, b.lived, len(b.judged) - b.lived)
    return Pair(shape, accel, a, b, ranks(a.silences, b.silences), chance)
