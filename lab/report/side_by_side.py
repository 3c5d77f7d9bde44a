# SPDX-License-Identifier: Apache-2.0
"""The same tests on two kernels, side by side: what is worse on one, what fails on both; pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lab.record.doubt import failing
from lab.record.model import ChildRecord

_BAD = frozenset({"not ok", "timeout", "missing"})
_ABSENT = "-"
_EXCUSED = re.compile(rf"({'|'.join(sorted(_BAD))}) on \S+ too")

Key = tuple[int, str, int]  # depth, name, which of that name


@dataclass(frozen=True, slots=True)
class Pair:
    """One test on both: its statuses in KTAP's words, or `-` where it did not run."""

    name: str
    depth: int
    measure: str
    tested: str

    @property
    def mark(self) -> str:
        """How the kernel under test compares with the measure: worse, better, both, or empty."""
        bad = (self.measure in _BAD, self.tested in _BAD)
        return {(False, True): "worse", (True, False): "better", (True, True): "both"}.get(bad, "")


def pairs(measure: Sequence[ChildRecord], tested: Sequence[ChildRecord]) -> tuple[Pair, ...]:
    """Lay the results of two runs of the same tests side by side.

    Args:
        measure: The results on the kernel to compare with.
        tested: The results on the kernel under test.

    Returns:
        One pair for each test, in the order of `tested`.
    """
    a, b = dict(_keyed(measure)), dict(_keyed(tested))
    return tuple(
        Pair(key[1], key[0], _as_it_came(a.get(key)), _as_it_came(b.get(key)))
        for key in [*b, *(key for key in a if key not in b)]
    )  # fmt: skip


def excused(
    children: Sequence[ChildRecord], measure: Sequence[ChildRecord], name: str
) -> tuple[ChildRecord, ...]:
    """Mark as an expected failure what fails on the kernel to compare with, too.

    Args:
        children: The results on the kernel under test.
        measure: The results on the kernel to compare with.
        name: The name of that kernel.

    Returns:
        The results, in their order.
    """
    known = {key for key, child in _keyed(measure) if failing([child])}
    return tuple(
        child.model_copy(
            update={"status": "xfail", "comment": f"{child.status} on {name} too {child.comment}"}
        )
        if key in known and failing([child])
        else child
        for key, child in _keyed(children)
    )


def _as_it_came(child: ChildRecord | None) -> str:
    """Return a test's status; if it was excused, the one that it had before."""
    if child is None:
        return _ABSENT
    match = _EXCUSED.match(child.comment) if child.status == "xfail" else None
    return match[1] if match else child.status


def _keyed(children: Iterable[ChildRecord]) -> Iterable[tuple[Key, ChildRecord]]:
    seen: Counter[tuple[int, str]] = Counter()
    for child in children:
        place = (child.depth, child.name)
        yield (*place, seen[place]), child
        seen[place] += 1
