# SPDX-License-Identifier: Apache-2.0
"""What became slower by more than 15 % is told, and nothing else is."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from lab.bench.regression import regressions, slower, told
from lab.cli.bench import last_bench, of_runs
from lab.record.model import CellRecord, Outcome, RunRecord, TurnRecord

THEN = datetime(2026, 12, 1, 3, 0, tzinfo=UTC)


def bench(boot: float = 2.0, watch: float = 5.0, accel: str = "tcg") -> dict[str, Any]:
    return {
        "ssh_ready_s": {"median": boot},
        "cell": {"phases": {"watch": watch, "turn": 0.001}, "seconds_on_a_warm_host": watch},
        "accelerator": accel,
    }


def run(run_id: str, watch_s: float, day: int = 0, host_s: float = 20.0) -> RunRecord:
    began = THEN + timedelta(days=day)
    cells = []
    for n in range(3):
        at = began + timedelta(seconds=n * (host_s + watch_s))
        cells.append(
            CellRecord(
                id=f"cell{n}",
                outcome=Outcome.PASSED,
                duration_s=host_s + watch_s,
                phases=(("host", host_s), ("watch", watch_s)),
                turn=TurnRecord(
                    began=at, ended=at + timedelta(seconds=host_s + watch_s), worker="main"
                ),
            )
        )
    end = began + timedelta(seconds=99)
    return RunRecord(run_id=run_id, started=began, ended=end, tier="ci", cells=tuple(cells))


def test_more_than_15_percent_is_told_and_less_is_not() -> None:
    assert not regressions(bench(boot=2.29, watch=5.7), bench())
    (said,) = regressions(bench(boot=2.32), bench())
    assert said == "the lab's boot, s: 2.32, was 2.00 (+16 %)"


def test_a_phase_is_told_but_not_one_too_short_to_be_measured() -> None:
    now = bench(watch=6.0)
    now["cell"]["phases"]["turn"] = 0.004
    said = regressions(now, bench())
    assert [one.partition(":")[0] for one in said] == [
        "a cell on a warm host, s", "phase watch of a cell, s"
    ]  # fmt: skip


def test_accelerators_are_not_compared() -> None:
    assert not regressions(bench(boot=9.0), bench(accel="kvm"))


def test_runs_are_compared_by_what_they_share() -> None:
    assert not slower(run("b", 10.0), run("a", 10.0))
    said = slower(run("b", 20.0), run("a", 10.0))
    assert said == [
        "the 3 cells and tests that runs a and b share, s: 120.00, was 90.00 (+33 %)",
        "phase watch of all those cells, s: 60.00, was 30.00 (+100 %)",
    ]
    longer = run("b", 10.0)
    more = longer.cells[0].model_copy(update={"id": "new", "duration_s": 900.0})
    assert not slower(longer.model_copy(update={"cells": (*longer.cells, more)}), run("a", 10.0))


def test_the_last_run_is_shown_with_its_path_and_the_one_before(tmp_path: Path) -> None:
    for name, record in {
        "20261201T030000Z-a": run("a", 10.0),
        "20261202T030000Z-b": run("b", 20.0, day=1),
    }.items():
        (tmp_path / name).mkdir()
        for file in ("run.json", "header.json"):
            (tmp_path / name / file).write_text(record.model_dump_json())
    found, said, slow = of_runs(tmp_path, "ci")
    assert found is not None
    assert (found["run_id"], found["seconds"]) == ("b", 120.0)
    assert [link["after"] for link in found["links"]] == ["", "cell0", "cell1"]
    assert said[2] == "  where it went: host 1 min 00 s, watch 1 min 00 s"
    assert len(slow) == 2
    assert of_runs(tmp_path, "nightly") == (
        None, [f"no run of tier nightly in {tmp_path}: there is no critical path to show"], []
    )  # fmt: skip


def test_the_newest_bench_is_the_last_one(tmp_path: Path) -> None:
    for n, (name, text) in enumerate({"x": bench(1.0), "y": bench(2.0), "z": "{"}.items()):
        (tmp_path / name).mkdir()
        file = tmp_path / name / "bench.json"
        file.write_text(text if isinstance(text, str) else json.dumps(text))
        os.utime(file, (n, n))
    assert last_bench(tmp_path / "bench.json", tmp_path) == bench(2.0)


def test_that_nothing_is_slower_is_said_too() -> None:
    assert list(told([])) == ["nothing is slower than the last time by more than 15 %"]
    assert list(told(["x"])) == ["slower by more than 15 %: x"]
