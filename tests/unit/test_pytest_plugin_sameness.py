# SPDX-License-Identifier: Apache-2.0
"""A stopped run is resumed only where the rest of it would come about as what it has did."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab.config.load import load_lab, load_topologies
from lab.config.matrix import expand
from lab.config.model import Cell
from lab.pytest_plugin import sameness
from lab.pytest_plugin.sameness import insist_same
from lab.record import shards
from lab.record.model import BootRecord, CellRecord, Outcome, Provenance, RunHeader, VerdictRecord
from lab.record.plan import planned
from tests.support.stored_run import PROVENANCE

CHECKOUT = Path(__file__).parents[2]
AAAA = BootRecord(boot_id="b1", build_id="aaaa", release="7.3.4")
THEN = PROVENANCE.model_copy(update={"boots": (AAAA,)})
LOST = VerdictRecord(kind="Lost", reason="silent")


@pytest.fixture(scope="module")
def stock() -> list[Cell]:
    lab = load_lab(CHECKOUT / "lab.toml")
    topologies = load_topologies(CHECKOUT / "topologies", lab)
    wanted = ("stock", "x86_64", None)
    cells = expand(topologies, lab, accel="tcg")
    return [c for c in cells if (c.kernel, c.arch.value, c.options.through) == wanted]


class Resumed:
    """A run that was stopped after its first cell, and what the rest of it would be."""

    def __init__(self, tmp_path: Path, cells: list[Cell], monkeypatch: pytest.MonkeyPatch) -> None:
        header = RunHeader(run_id="abc123", started=datetime.now(UTC))
        self.before = shards.begin(tmp_path, header)
        self.cells = list(cells)
        self.now = THEN
        monkeypatch.setattr(sameness, "opened", lambda _: nullcontext())
        monkeypatch.setattr(sameness, "expected", lambda *_: self.now)

    def has(self, cell: Cell, provenance: Provenance | None, **more: Any) -> None:
        """Write the record of a cell that was run before."""
        plan = planned(cell).model_dump()
        told = {"outcome": Outcome.PASSED, "verdict": LOST, "provenance": provenance, **more}
        shards.write_cell(self.before, CellRecord.model_validate({**plan, **told}))

    def resume(self, *left: Cell) -> None:
        """Resume it with these cells left to run."""
        run: Any = SimpleNamespace(
            before=self.before, cells=lambda _: self.cells, lab=lambda _: None
        )
        items: Any = [
            SimpleNamespace(
                path=CHECKOUT / "topologies" / "test_cells.py",
                callspec=SimpleNamespace(params={"cell": cell, "repeat": 1}),
            )
            for cell in left
        ]
        insist_same(items, run)


@pytest.fixture
def run(tmp_path: Path, stock: list[Cell], monkeypatch: pytest.MonkeyPatch) -> Resumed:
    return Resumed(tmp_path, stock, monkeypatch)


def test_the_same_experiment_is_resumed(run: Resumed) -> None:
    run.has(run.cells[0], THEN)
    run.resume(*run.cells[1:])


def test_a_run_of_which_nothing_is_left_is_resumed(run: Resumed) -> None:
    run.has(run.cells[0], None)
    run.resume()


def test_a_run_of_which_nothing_was_judged_is_resumed(run: Resumed) -> None:
    run.has(run.cells[0], None, verdict=None, outcome=Outcome.ERROR)
    run.resume(*run.cells)


def test_another_build_and_another_limit_are_refused_with_both_values(run: Resumed) -> None:
    run.has(run.cells[0], THEN)
    run.has(run.cells[1], THEN)
    bbbb = (AAAA.model_copy(update={"build_id": "bbbb"}),)
    run.now = THEN.model_copy(update={"boots": bbbb, "limits": {"watch.patience_s": 90.0}})
    with pytest.raises(pytest.UsageError) as e:
        run.resume(*run.cells[2:])
    first, *found, last = str(e.value).splitlines()
    assert first.startswith(f"--lab-resume: {run.before.name} cannot be resumed, for the rest")
    assert found == [
        "  [watch] patience_s was 5, and is 90 now",
        "  a kernel was build aaaa (7.3.4), and is bbbb now",
    ]
    assert "begin a new run: type the same without --lab-resume" in last


def test_a_cell_that_does_not_say_by_what_it_came_about_is_refused(run: Resumed) -> None:
    run.has(run.cells[0], None)
    with pytest.raises(pytest.UsageError, match="does not say by what it came about"):
        run.resume(*run.cells[1:])


def test_a_kernel_that_nothing_boots_any_more_may_be_another(run: Resumed) -> None:
    other = run.cells[0].request
    gone = run.cells[0].model_copy(update={"request": replace(other, kernel="gone")})
    run.cells[0] = gone
    run.has(gone, None)
    run.resume(*run.cells[1:])


def test_a_long_list_is_cut(run: Resumed) -> None:
    run.has(run.cells[0], THEN)
    many = {f"watch.limit{n}": 1.0 for n in range(30)}
    run.now = THEN.model_copy(update={"limits": {**THEN.limits, **many}})
    with pytest.raises(pytest.UsageError, match="and 18 more"):
        run.resume(*run.cells[1:])
