# SPDX-License-Identifier: Apache-2.0
"""A cell goes straight from pytest to its record: a reader seldom comes to a module twice."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab.pytest_plugin.judging import judge_turn
from lab.record import shards
from lab.record.model import Outcome, RunHeader
from tests.support.cell_way import Way, walked
from tests.support.simulated_cell import cell_of_an_orphan, simulated_pool

# Counted so before the way was made straight: 23 returns in 21 modules, and one call back.
RETURNS = 8


@pytest.fixture
def way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Way:
    """The way of a cell whose VMM is killed, and whose guest runs on and is adopted."""
    header = RunHeader(
        run_id="7f3a", started=datetime.now(UTC), tier="ci", command_line=(), planned=()
    )
    run: Any = SimpleNamespace(
        folder=shards.begin(tmp_path, header),
        rerun=lambda *_: "lab run X",
        worker_id="main",
        again=False,
        sitting="s",
    )
    config = SimpleNamespace(getoption=lambda _: "never")
    request: Any = SimpleNamespace(config=config, path=tmp_path / "test_cells.py")
    pool, cell = simulated_pool(monkeypatch, tmp_path), cell_of_an_orphan()
    with walked() as way:
        record = judge_turn(pool, cell, request, run, repeat=1)
    pool.close()
    assert record.outcome is Outcome.PASSED, record.first_cause
    assert [label for label, _ in record.phases][-3:] == ["watch adopted", "search", "evidence"]
    assert len(list((run.folder / "cells").iterdir())) == 1
    return way


def test_a_cell_turns_back_seldom_and_calls_back_never(way: Way) -> None:
    told = " > ".join(way.stays)
    assert way.stays[:2] == ["pytest_plugin/judging.py", "runner/judge_cell.py"]
    assert way.rooms > 20, told
    assert way.returns <= RETURNS, f"{way.returns} returns: {told}"
    assert way.back == set()


def test_a_return_and_a_call_back_are_counted() -> None:
    way = Way()
    frames = ["a", "b", "c", "b"]
    for name in frames:
        way.enter(name, f"{name}:{len(way.stays)}")
    assert (way.rooms, way.returns) == (3, 1)
    assert way.back == {("c:2", "b:3")}
