# SPDX-License-Identifier: Apache-2.0
"""All pairs with few rows: a choice of rows that has each pair of values that occurs."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from itertools import combinations
from typing import TypeAlias

Value: TypeAlias = Hashable
Pair: TypeAlias = tuple[Value, Value]


def pairs(row: Iterable[Value]) -> set[Pair]:
    """Return every pair of values of one row; rows name their values in the same order."""
    return set(combinations(row, 2))


def pairwise(rows: Sequence[Sequence[Value]], *, have: Iterable[Sequence[Value]] = ()) -> list[int]:
    """Return the indices of rows that together have every pair which occurs in `rows`.

    Greedy: the row with the most pairs that are still wanted, the earlier one of equals. The
    same rows always give the same answer.

    Args:
        rows: The candidates.
        have: Rows that are taken anyway; their pairs are no longer wanted.

    Returns:
        Indices into `rows`, ascending.
    """
    seen = {pair for row in have for pair in pairs(row)}
    wanted = {i: pairs(row) - seen for i, row in enumerate(rows)}
    taken: list[int] = []
    while any(wanted.values()):
        best = max(wanted, key=lambda i: (len(wanted[i]), -i))
        taken.append(best)
        got = wanted.pop(best)
        wanted = {i: left - got for i, left in wanted.items()}
    return sorted(taken)
