# SPDX-License-Identifier: Apache-2.0
"""History in SQLite: what comes back, what changed, what is flaky, and what goes wrong with it."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from lab.errors import ConfigError, InfraError
from lab.history.store import opened
from lab.history.trend import Past, past_of
from lab.record.model import (
    CellRecord,
    EnvironmentRecord,
    ExpectationRecord,
    KernelRecord,
    RunRecord,
)
from tests.support.records import LOST, STARTED, SURVIVED, UNPROVEN, cell, run, sixty

FAILED = {"outcome": "failed", "verdict": LOST}
BROKE = {"outcome": "error", "verdict": UNPROVEN}
AWAY = {"outcome": "unavailable", "verdict": None, "first_cause": "no SVM"}


def built(build: str) -> EnvironmentRecord:
    kernel = KernelRecord(release="7.3.4", build_id=build, digest="sha256:00")
    return EnvironmentRecord(kernels={"reference x86_64": kernel})


def night(n: int, *cells: CellRecord, build: str = "aaaa", **changes: object) -> RunRecord:
    at = STARTED + timedelta(days=n)
    fixed = {"started": at, "ended": at, "environment": built(build)}
    return run(*cells, run_id=f"night{n}", **{**fixed, **changes})


def past(tmp_path: Path, *nights: RunRecord) -> Past:
    """Return the past of the last of these runs."""
    with opened(tmp_path / "history.sqlite") as history:
        for record in nights:
            history.note(record, f"folder-{record.run_id}")
        return past_of(nights[-1], history)


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ({}, FAILED, "now flaky"),  # on one kernel
        ({}, BROKE, "can no longer be told"),
        ({}, AWAY, "newly unavailable"),
        (AWAY, {}, "newly available"),
        (BROKE, {}, "can be told again"),
        (BROKE, FAILED, "new failure"),
    ],
)
def test_what_changed_has_a_name(
    tmp_path: Path, before: dict[str, object], after: dict[str, object], what: str
) -> None:
    found = past(
        tmp_path, night(1, cell("one/kill", **before)), night(2, cell("one/kill", **after))
    )
    assert [change.what for change in found.since[0].changes] == [what]
    assert found.since[0].changes[0].cell == "one/kill"


@pytest.mark.parametrize(
    ("before", "after", "what"), [({}, FAILED, "new failure"), (FAILED, {}, "fixed")]
)
def test_another_kernel_that_fares_otherwise_is_not_flaky(
    tmp_path: Path, before: dict[str, object], after: dict[str, object], what: str
) -> None:
    found = past(
        tmp_path,
        night(1, cell("one/kill", **before)),
        night(2, cell("one/kill", **after), build="bbbb"),
    )
    (since, *_) = found.since
    assert [change.what for change in since.changes] == [what]
    assert [(k.cell, k.then, k.now) for k in since.kernels] == [
        ("reference x86_64", "aaaa", "bbbb")
    ]
    assert found.flaky == frozenset()
    assert found.cells["one/kill"].counts.judged == 1


def test_nothing_changed_says_nothing(tmp_path: Path) -> None:
    found = past(tmp_path, night(1, cell(), cell("b")), night(2, cell(), cell("b")))
    (since,) = found.since
    assert since.changes == ()
    assert since.label == "the last run, which was the last good one"


def test_an_expectation_that_changed_is_told_beside_the_outcome(tmp_path: Path) -> None:
    dies = ExpectationRecord(kind="dies")
    found = past(
        tmp_path,
        night(1, cell(verdict=LOST, expectation=dies)),
        night(2, cell("one/kill", **FAILED)),
    )
    assert [change.what for change in found.since[0].changes] == [
        "new failure",
        "expectation changed",
    ]


def test_the_last_good_run_is_another_than_the_last(tmp_path: Path) -> None:
    nights = [
        night(1, cell()),
        night(2, cell("one/kill", **FAILED), build="b"),
        night(3, cell("one/kill", **FAILED), build="b"),
    ]
    found = past(tmp_path, *nights)
    assert [since.run.run_id for since in found.since] == ["night2", "night1"]
    assert [change.what for change in found.since[0].changes] == []
    assert [change.what for change in found.since[1].changes] == ["new failure"]
    assert found.cells["one/kill"].first_failing == "b"


def test_a_run_of_one_cell_is_not_compared_with_a_night(tmp_path: Path) -> None:
    many = [cell(f"c{n}") for n in range(4)]
    found = past(tmp_path, night(1, *many), night(2, many[0]), night(3, *many))
    assert found.since[0].run.run_id == "night1"
    assert (found.since[0].appeared, found.since[0].gone) == (0, 0)


def test_both_outcomes_on_one_kernel_are_flaky_also_in_one_run(tmp_path: Path) -> None:
    found = past(tmp_path, night(1, cell(), cell("one/kill", repeat=2, **FAILED), cell(repeat=3)))
    assert found.flaky == {"one/kill"}
    assert (found.cells["one/kill"].counts.lived, found.cells["one/kill"].counts.judged) == (2, 3)


def test_an_unproven_verdict_makes_nothing_flaky(tmp_path: Path) -> None:
    found = past(tmp_path, night(1, cell()), night(2, cell("one/kill", **BROKE)))
    assert found.flaky == frozenset()
    found = past(tmp_path, night(3, cell()), night(4, cell("one/kill", **BROKE)), night(5, cell()))
    assert (found.cells["one/kill"].counts.lived, found.cells["one/kill"].counts.judged) == (3, 3)


def test_a_strip_has_one_place_a_run_oldest_first(tmp_path: Path) -> None:
    found = past(
        tmp_path,
        night(1, cell()),
        night(2, cell("one/kill", **BROKE), cell(repeat=2)),
        night(3, cell()),
    )
    assert [(once.run.run_id, once.word) for once in found.cells["one/kill"].strip] == [
        ("night1", "PASS"),
        ("night2", "ERROR"),
    ]


def test_noting_a_run_again_replaces_it(tmp_path: Path) -> None:
    with opened(tmp_path / "h") as history:
        history.note(night(1, cell(), cell("b")), "f")
        history.note(night(1, cell("one/kill", **FAILED)), "f")
        assert [(r.cell, r.word) for r in history.results("night1")] == [("one/kill", "FAIL")]
        assert [r.status for r in history.runs()] == [1]


def test_a_whole_record_goes_in_and_comes_out(tmp_path: Path) -> None:
    with opened(tmp_path / "h") as history:
        history.note(sixty(), "f")
        rows = history.results("7f3a")
        assert len(rows) == len(sixty().cells)
        assert set(history.durations().values()) == {21.4}
        assert {row.accel for row in rows} == {"tcg"}
        assert {row.build_id for row in rows if row.arch == "arm64"} == {""}


def test_a_damaged_history_says_what_to_type_and_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    path.write_bytes(b"this is no database, and was one once" * 300)
    before = path.read_bytes()
    with pytest.raises(InfraError, match="damaged") as caught, opened(path) as history:
        history.runs()
    assert "lab history --rebuild" in str(caught.value.hint)
    assert path.read_bytes() == before


def test_a_history_that_is_damaged_in_the_middle_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    with opened(path) as history:
        history.note(sixty(), "f")
    raw = bytearray(path.read_bytes())
    raw[4096:] = bytes(len(raw) - 4096)
    path.write_bytes(raw)
    with pytest.raises(InfraError, match="damaged"), opened(path) as history:
        history.results("7f3a")


def test_a_newer_history_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    db = sqlite3.connect(path)
    db.executescript("CREATE TABLE runs (other); PRAGMA user_version = 7;")
    db.close()
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="version 7 is newer than this lab's 4"), opened(path):
        pass
    assert path.read_bytes() == before


_FILL = """
import sys
from pathlib import Path
from lab.history.store import opened
from tests.unit.test_history_trend import many
with opened(Path(sys.argv[1])) as history:
    history.note(many(), "f")
"""


def many() -> RunRecord:
    return night(2, *(cell(f"cell-{n}-{'x' * 200}") for n in range(3000)))


def test_a_full_disk_loses_nothing_that_was_known(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    with opened(path) as history:
        history.note(night(1, cell()), "f")

    def small() -> None:  # a file that may not grow is what a full disk is to its writer
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    done = subprocess.run(
        [sys.executable, "-c", _FILL, str(path)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=small,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode != 0
    assert "InfraError" in done.stderr
    assert "what was known before is still there" in done.stderr
    with opened(path) as history:
        assert [r.run_id for r in history.runs()] == ["night1"]
        assert len(history.results("night1")) == 1


def test_silences_of_the_lost_are_no_figures(tmp_path: Path) -> None:
    found = past(tmp_path, night(1, cell("one/kill", **FAILED)), night(2, cell(verdict=SURVIVED)))
    assert found.cells["one/kill"].silences == ()
    found = past(tmp_path, night(3, cell()), night(4, cell()))
    assert 412.0 in found.cells["one/kill"].silences
