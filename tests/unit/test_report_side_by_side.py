# SPDX-License-Identifier: Apache-2.0
"""The same tests on two kernels: what is worse, what is excused, and that order does not matter."""

from __future__ import annotations

from lab.record.model import ChildRecord
from lab.report.side_by_side import excused, pairs


def child(name: str, status: str, depth: int = 0) -> ChildRecord:
    return ChildRecord.model_validate({"name": name, "status": status, "depth": depth})


STOCK = (
    child("1", "ok", 1), child("a", "ok"), child("b", "not ok"), child("c", "timeout"),
    child("d", "skip"), child("gone", "ok"),
)  # fmt: skip
MINE = (
    child("1", "not ok", 1), child("a", "not ok"), child("b", "not ok"), child("c", "ok"),
    child("d", "not ok"), child("new", "ok"),
)  # fmt: skip


def test_what_is_worse_and_what_is_better_is_marked() -> None:
    found = {(p.depth, p.name): (p.measure, p.tested, p.mark) for p in pairs(STOCK, MINE)}
    assert found == {
        (1, "1"): ("ok", "not ok", "worse"),
        (0, "a"): ("ok", "not ok", "worse"),
        (0, "b"): ("not ok", "not ok", "both"),
        (0, "c"): ("timeout", "ok", "better"),
        (0, "d"): ("skip", "not ok", "worse"),
        (0, "new"): ("-", "ok", ""),
        (0, "gone"): ("ok", "-", ""),
    }


def test_what_was_excused_is_shown_as_it_came() -> None:
    told = excused(STOCK, STOCK, "stock"), excused(MINE, STOCK, "stock")
    assert pairs(*told) == pairs(STOCK, MINE)
    own = child("own", "xfail")  # the test's own word
    assert pairs([own], [own])[0].measure == "xfail"


def test_only_what_fails_on_the_measure_too_may_fail() -> None:
    told = excused(MINE, STOCK, "stock")
    assert [c.status for c in told] == ["not ok", "not ok", "xfail", "ok", "not ok", "ok"]
    assert told[2].comment.startswith("not ok on stock too")
    assert [c.status for c in excused(STOCK, STOCK, "stock")] == [
        "ok", "ok", "xfail", "xfail", "skip", "ok",
    ]  # fmt: skip


def test_tests_of_one_name_are_told_apart_by_their_order() -> None:
    two = (child("1", "ok", 1), child("1", "not ok", 1))
    worse = (child("1", "ok", 1), child("1", "not ok", 1), child("1", "not ok", 1))
    assert [p.mark for p in pairs(two, worse)] == ["", "both", "worse"]
    assert [c.status for c in excused(worse, two, "stock")] == ["ok", "xfail", "not ok"]
