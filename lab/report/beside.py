# SPDX-License-Identifier: Apache-2.0
"""The same tests on two kernels, side by side: what is worse on one, what fails on both; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lab.report.exits import failing
from lab.report.record import ChildRecord

_BAD = frozenset({"not ok", "timeout", "missing"})
_ABSENT = "-"

Key = tuple[int, str, int]  # depth, name, which of that name


@dataclass(frozen=True, slots=True)
class Pair:
    """One test on both: its statuses in KTAP's words, or `-` where it did not come to run."""

    name: str
    depth: int
    measure: str
    tested: str

    @property
    def mark(self) -> str:
        """Say whether the kernel under test is worse than the measure, better, or as good."""
        bad = (self.measure in _BAD, self.tested in _BAD)
        return {(False, True): "worse", (True, False): "better"}.get(bad, "")


def pairs(measure: Sequence[ChildRecord], tested: Sequence[ChildRecord]) -> tuple[Pair, ...]:
    """Lay the results of two runs of the same tests side by side, in the order of the second."""
    a, b = dict(_keyed(measure)), dict(_keyed(tested))
    return tuple(
        Pair(key[1], key[0], a[key].status if key in a else _ABSENT,
             b[key].status if key in b else _ABSENT)
        for key in [*b, *(key for key in a if key not in b)]
    )  # fmt: skip


def excused(
    children: Sequence[ChildRecord], measure: Sequence[ChildRecord], name: str
) -> tuple[ChildRecord, ...]:
    """Have what fails on the measure, called `name`, too, be expected to fail."""
    known = {key for key, child in _keyed(measure) if failing([child])}
    return tuple(
        child.model_copy(
            update={"status": "xfail", "comment": f"{child.status} on {name} too {child.comment}"}
        )
        if key in known and failing([child])
        else child
        for key, child in _keyed(children)
    )


def _keyed(children: Iterable[ChildRecord]) -> Iterable[tuple[Key, ChildRecord]]:
    seen: Counter[tuple[int, str]] = Counter()
    for child in children:
        place = (child.depth, child.name)
        yield (*place, seen[place]), child
        seen[place] += 1
