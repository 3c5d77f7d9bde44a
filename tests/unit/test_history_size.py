# SPDX-License-Identifier: Apache-2.0
"""A year of nights is read by indexes, and says the same as every result of it that is read."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from lab.history.counts import counted, fared
from lab.history.store import History, PastResult, opened, result_of
from lab.history.trend import past_of
from lab.record.classify import Standing
from lab.record.groups import both, fate
from lab.record.model import BootRecord, EnvironmentRecord, KernelRecord, Provenance, RunRecord
from tests.support.records import LOST, STARTED, SURVIVED, UNPROVEN, cell, run
from tests.support.year_of_nights import fill

ENDS = (
    {"verdict": SURVIVED},
    {"outcome": "failed", "verdict": LOST},
    {"outcome": "error", "verdict": UNPROVEN},
    {"outcome": "unavailable", "verdict": None, "first_cause": "no SVM"},
)


def any_night(n: int, chance: random.Random) -> RunRecord:
    """Return a night of some cells, some of them more than once, on one of three builds."""
    build = chance.choice(["a", "b", "c", ""])
    kernel = KernelRecord(release="7.3.4", build_id=build, digest="sha256:00")
    cells = [
        cell(f"one/{name}", repeat=repeat, provenance=_booted(chance, build), **chance.choice(ENDS))
        for name in chance.sample("abcdef", chance.randint(2, 6))
        for repeat in range(1, chance.randint(2, 4))
    ]
    at = STARTED + timedelta(days=n)
    seen = EnvironmentRecord(kernels={"reference x86_64": kernel})
    return run(*cells, run_id=f"night{n}", started=at, ended=at, environment=seen)


def _booted(chance: random.Random, build: str) -> Provenance | None:
    if chance.random() < 0.3:
        return None
    boot = BootRecord(boot_id=chance.choice("1234"), build_id=build, release="7.3.4")
    return Provenance(
        lab_source="", images={}, boots=(boot,), limits={}, qemu="", libvirt="", errata="none",
        cpu_model="", host_cpu="", l0_kernel="",
    )  # fmt: skip


def rows_of(history: History, record: RunRecord, cell_id: str) -> list[PastResult]:
    before = record.started.isoformat(timespec="seconds")
    return list(history.of(cell_id, before=before))


@pytest.mark.parametrize("seed", range(12))
def test_the_past_is_that_of_every_result_before(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret
    nights = [any_night(n, chance) for n in range(30)]
    chance.shuffle(nights)  # those of later nights are in the history already
    record = next(night for night in nights if night.run_id == "night27")
    with opened(tmp_path / "h") as history:
        for night in nights:
            history.note(night, "f")
        found = past_of(record, history)
        for cell_id, past in found.cells.items():
            rows = rows_of(history, record, cell_id)
            now = [result_of(record, each) for each in record.cells if each.id == cell_id]
            build = now[0].build_id
            then = [row for row in rows if build and row.build_id == build]
            assert past.counts == counted([*then, *now])
            told = [r.silence_ms for r in then if r.silence_ms is not None and fared(r) == "lived"]
            assert Counter(past.silences) == Counter(told)
            last = list(dict.fromkeys(row.run_id for row in rows))[-24:]
            assert [once.run.run_id for once in past.strip] == last
            failed = [row.build_id for row in [*rows, *now] if row.standing == Standing.PRODUCT]
            if any(each.standing == Standing.PRODUCT for each in rows):
                assert past.first_failing == failed[0]
            judged = [
                row.verdict for row in (*then, *now)
                if row.standing != Standing.LAB and fate(row.verdict)
            ]  # fmt: skip
            assert past.flaky == (bool(build) and both(judged))


def plans(path: Path, ask: str, values: tuple[str, ...]) -> str:
    """Return what SQLite says of how it would answer a question of the history."""
    asked: list[str] = []
    with sqlite3.connect(path) as db:
        db.set_trace_callback(asked.append)
        history = History(db, path)
        getattr(history, ask)(*values[:2], **({"before": values[2]} if len(values) > 2 else {}))
        db.set_trace_callback(None)
        told = [row[3] for sql in asked for row in db.execute(f"EXPLAIN QUERY PLAN {sql}")]
    db.close()
    return " | ".join(told)


@pytest.mark.parametrize(
    ("ask", "values", "by"),
    [
        ("of", ("x86_64-tcg-reference-3",), "SEARCH r USING INDEX results_by_cell"),
        ("turns", ("night3", "x86_64-tcg-reference-3"), "SEARCH results USING PRIMARY KEY"),
        (
            "alike",
            ("x86_64-tcg-reference-3", "build0", "9999"),
            "SEARCH results USING COVERING INDEX results_by_build",
        ),
        ("results", ("night3",), "SEARCH results USING PRIMARY KEY"),
    ],
)
def test_no_question_of_a_page_reads_all_results(
    tmp_path: Path, ask: str, values: tuple[str, ...], by: str
) -> None:
    path = tmp_path / "h"
    fill(path, 40, cells=20, repeats=2)
    told = plans(path, ask, values)
    assert by in told
    assert "SCAN results" not in told
    if ask == "alike":
        assert "TEMP B-TREE" not in told


def test_failures_are_found_by_their_own_index(tmp_path: Path) -> None:
    path = tmp_path / "h"
    fill(path, 40, cells=25, repeats=2)
    with sqlite3.connect(path) as db:
        asked: list[str] = []
        db.set_trace_callback(asked.append)
        assert History(db, path).failing("x86_64-tcg-reference-20", before="9999")
        db.set_trace_callback(None)
        told = " | ".join(row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {asked[0]}"))
    db.close()
    assert "results_failing" in told
    assert "SCAN r" not in told


def test_a_history_of_version_3_gets_its_indexes(tmp_path: Path) -> None:
    path = tmp_path / "h"
    fill(path, 2, cells=20, repeats=2)
    with sqlite3.connect(path) as db:
        db.execute("DROP INDEX results_by_build")
        db.execute("DROP INDEX results_failing")
        db.execute("PRAGMA user_version = 3")
    db.close()
    with opened(path) as history:
        assert len(list(history.of())) == 2 * 20 * 2
    assert "results_by_build" in plans(path, "alike", ("x86_64-tcg-reference-3", "build0", "9999"))


def test_all_nights_are_in_the_history_that_is_filled(tmp_path: Path) -> None:
    path = tmp_path / "h"
    fill(path, 40, cells=20, repeats=2)
    with opened(path) as history:
        assert len(history.runs(limit=100)) == 40
        assert len(list(history.of())) == 40 * 20 * 2
