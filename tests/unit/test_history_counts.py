# SPDX-License-Identifier: Apache-2.0
"""Counts by stated rules: no try that came to nothing, and no retry, makes a rate better."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from lab.errors import ConfigError
from lab.history.compare import compared, tallied
from lab.history.counts import Counts, counted, fared
from lab.history.store import PastResult, opened, result_of
from lab.history.trend import past_of
from lab.record.classify import Standing
from lab.record.model import BootRecord, Provenance, VerdictRecord
from lab.report.page import index_html
from tests.support.records import SURVIVED, cell
from tests.unit.test_history_trend import BROKE, FAILED, built, night


def row(**changes: Any) -> PastResult:
    fixed: dict[str, Any] = {
        "run_id": "r", "cell": "c", "repeat": 1, "arch": "x86_64", "accel": "tcg", "kernel": "k",
        "build_id": "aaaa", "shape": "s", "expects": "survives", "word": "PASS",
        "standing": "as expected", "verdict": "Survived", "silence_ms": 2.0, "duration_s": 9.0,
    }  # fmt: skip
    return PastResult(**{**fixed, **changes})


LOST = row(word="FAIL", standing="not as expected", verdict="Lost")
UNTOLD = row(word="ERROR", standing="cannot tell", verdict="Unproven")


@pytest.mark.parametrize(
    ("result", "came"),
    [
        (row(), "lived"),
        (LOST, "lost"),
        (UNTOLD, "untold"),
        (row(word="ERROR", standing="cannot tell", verdict=None), "untold"),
        (row(word="ERROR", standing="cannot tell"), "untold"),  # its evidence does not carry it
        (row(word="FAIL", standing="not as expected", verdict=None), "untold"),  # did not boot
        (row(word="UNAVAILABLE", standing="not run", verdict=None), ""),
        (row(expects="parks", verdict="Parked"), "lived"),
        # Lived as it was to, and failed all the same: never adopted, or its kernel complained.
        (row(expects="parks", verdict="Parked", word="FAIL", standing="not as expected"), "lost"),
        (row(word="FAIL", standing="not as expected"), "lost"),
        # Lived where it was not to.
        (row(expects="dies", word="FAIL", standing="not as expected"), "lived"),
        (row(expects="xfail", word="XPASS", standing="not as expected"), "lived"),
    ],
)
def test_what_became_of_a_guest(result: PastResult, came: str) -> None:
    assert result.standing in set(Standing)
    assert fared(result) == came


def test_what_cannot_be_told_is_lost_in_the_worst_case() -> None:
    found = counted([*[row()] * 300, *[UNTOLD] * 700])
    assert (found.lived, found.judged, found.untold) == (300, 300, 700)
    assert found.survival.needed == 0
    assert found.worst.high < 0.34
    assert (found.worst.lived, found.worst.judged) == (300, 1000)


@pytest.mark.parametrize(
    ("rows", "untold"),
    [
        ([row(voids=2)], 2),  # told in the third try
        ([row(word="ERROR", standing="cannot tell", verdict="Unproven", voids=3)], 3),
        ([UNTOLD], 1),
        ([row()], 0),
    ],
)
def test_a_try_that_was_void_is_counted_however_the_next_went(
    rows: list[PastResult], untold: int
) -> None:
    assert counted(rows).untold == untold


def test_a_false_start_is_told_and_in_no_other_count() -> None:
    found = counted([row(false_starts=1), row()])
    assert (found.false_starts, found.lived, found.judged, found.untold) == (1, 2, 2, 0)


def test_guests_of_one_boot_are_one_trial() -> None:
    rows = [row(boot_id="1")] * 9 + [LOST, row(boot_id="2")]
    rows += [row(boot_id="3", verdict="Lost"), row(boot_id="3"), row(boot_id="4", **UNPROVEN)]
    found = counted(rows)
    assert (found.boots, found.whole_boots) == (3, 2)
    assert found.by_boot is not None
    assert found.by_boot.low < found.survival.low
    assert counted([row()]).by_boot is None


UNPROVEN = {"verdict": "Unproven", "standing": "cannot tell", "word": "ERROR"}


def test_unknown_builds_are_not_one_kernel() -> None:
    rows = [row(run_id=run, build_id="") for run in "aabc"] + [row(run_id=run) for run in "ab"]
    assert [(t.build_id, len(t.results)) for t in tallied(rows)] == [
        ("", 2), ("", 1), ("", 1), ("aaaa", 2)
    ]  # fmt: skip


def test_an_unknown_build_has_no_past(tmp_path: Path) -> None:
    with opened(tmp_path / "h") as history:
        for n in (1, 2):
            history.note(night(n, cell(), build=""), f"f{n}")
        found = past_of(night(3, cell(), build=""), history)
    assert found.cells["one/kill"].counts == Counts(lived=1, judged=1)


def test_a_comparison_is_of_the_builds_that_were_run_last() -> None:
    rows = [
        row(build_id="old"),
        row(build_id="new"),
        row(build_id=""),
        row(kernel="l", build_id="l"),
    ]
    (pair,) = compared([row(build_id="new"), *rows], "k", "l")
    assert (pair.a.build_id, pair.a.counts.judged) == ("new", 2)
    (pair,) = compared(rows, "old", "l")
    assert (pair.a.build_id, pair.a.counts.judged) == ("old", 1)


def test_all_p_values_of_a_comparison_are_adjusted_together_and_no_others() -> None:
    """A shape with too few silences has no p-value of ranks: it costs the others nothing."""
    kernels = {"k": 1.0, "l": 50.0}
    rows = [
        row(kernel=kernel, build_id=kernel, shape=shape, silence_ms=ms + n)
        for kernel, ms in kernels.items()
        for shape, how_many in (("few", 2), ("many", 9))
        for n in range(how_many)
    ]
    few, many = compared(rows, "k", "l")
    assert (few.ranks.p, few.adjusted) == (None, None)
    assert (few.odds, few.odds_adjusted) == (1.0, 1.0)
    assert many.ranks.p is not None
    assert many.adjusted == pytest.approx(3 * many.ranks.p)  # of three p-values in all
    assert (many.odds, many.odds_adjusted) == (1.0, 1.0)


def test_kernels_of_unknown_builds_are_not_compared() -> None:
    with pytest.raises(ConfigError, match="no result of kernel 'k' tells its build"):
        compared([row(build_id=""), row(kernel="l")], "k", "l")


def with_figures(**figures: int) -> VerdictRecord:
    return SURVIVED.model_copy(update={"figures": figures})


def provenance(boot: str) -> Provenance:
    return Provenance.model_construct(
        boots=(BootRecord(boot_id=boot, build_id="bbbb", release="7.3.4"),)
    )


def test_a_result_has_its_voids_false_starts_and_boot() -> None:
    verdict = with_figures(void_tries=2, false_starts=1)
    found = result_of(night(1), cell(verdict=verdict, provenance=provenance("b1")))
    assert (found.voids, found.false_starts, found.boot_id) == (2, 1, "b1")
    assert found.build_id == "bbbb"  # as the running host told, and not as it was built
    bare = result_of(night(1), cell())
    assert (bare.voids, bare.false_starts, bare.boot_id, bare.build_id) == (0, 0, "", "aaaa")


def test_a_history_of_version_2_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "h"
    with opened(path) as history:
        history.note(night(1, cell()), "f1")
    db = sqlite3.connect(path)
    db.execute("DROP INDEX results_by_build")
    for name in ("voids", "false_starts", "boot_id"):
        db.execute(f"ALTER TABLE results DROP COLUMN {name}")
    db.execute("PRAGMA user_version = 2")
    db.commit()
    db.close()
    with opened(path) as history:
        history.note(night(2, cell(verdict=with_figures(void_tries=2))), "f2")
        assert [r.voids for r in history.of()] == [0, 2]
    with opened(path) as history:
        assert len(list(history.of())) == 2


def test_the_page_has_all_counts(tmp_path: Path) -> None:
    with opened(tmp_path / "h") as history:
        history.note(night(1, cell("one/kill", **BROKE)), "f1")
        history.note(night(2, cell(verdict=with_figures(void_tries=2, false_starts=1))), "f2")
        record = night(3, cell("one/kill", **FAILED), environment=built("aaaa"))
        page = index_html(record, past_of(record, history))
    assert "1 of 2 lived" in page
    assert "at 95 % (exact)" in page
    assert "3 more tries could not be told; as losses, 0.5 % to 71.6 %" in page
    assert "1 false start." in page
