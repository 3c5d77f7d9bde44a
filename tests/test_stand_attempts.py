# SPDX-License-Identifier: Apache-2.0
"""Which experiments are done anew: only those in which L0 stood still, never a failure."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab.spec.cells import expand
from lab.spec.load import load_lab, load_topologies
from lab.spec.model import Cell
from lab.stand import attempts
from lab.stand.result import CellResult
from lab.witness.verdict import Check, Lost, Survived, Unproven, Verdict

CHECKOUT = Path(__file__).parents[1]
SURVIVED = Survived("it beat on", Check.ALL)


@pytest.fixture(scope="module")
def some() -> Cell:
    lab = load_lab(CHECKOUT / "lab.toml")
    topologies = load_topologies(CHECKOUT / "topologies", lab)
    return next(iter(expand(topologies, lab, accel="tcg")))


def after(
    first: Verdict, cell: Cell, monkeypatch: pytest.MonkeyPatch, *, void: str = ""
) -> CellResult:
    """Try a cell that is judged `first` at its first try, and to have survived at any other."""
    verdicts = iter([(first, void), *[(SURVIVED, "")] * attempts.TRIES])

    def run_cell(*about: Any) -> None:
        result: CellResult = about[-1]
        result.verdict, result.void = next(verdicts)

    monkeypatch.setattr(attempts, "run_cell", run_cell)
    monkeypatch.setattr(attempts, "turn", lambda *_: nullcontext())
    stand = SimpleNamespace(lab=SimpleNamespace(watch=None), sink=lambda _: None)
    pool: Any = SimpleNamespace(stand=stand, lease=lambda _: nullcontext())
    result, broke = attempts.attempted(pool, cell, Path("nowhere"))
    assert broke is None
    return result


@pytest.mark.parametrize("check", [c for c in Check if c is not Check.JITTER])
def test_what_is_not_known_to_be_l0s_fault_is_not_done_anew(
    check: Check, some: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert after(Unproven("no", check), some, monkeypatch).verdict == Unproven("no", check)


def test_an_experiment_in_which_l0_stood_still_is_done_anew_and_counted(
    some: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = after(Unproven("late", Check.JITTER), some, monkeypatch)
    assert (result.verdict, result.facts["void_tries"]) == (SURVIVED, 1)


def test_a_ring_that_overran_while_l0_looked_late_is_watched_anew(
    some: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = after(Unproven("rare", Check.OVERRUN), some, monkeypatch, void="looks were late")
    assert (late.verdict, late.facts["void_tries"]) == (SURVIVED, 1)


def test_a_calibration_whose_stop_is_not_known_is_done_anew(
    some: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert after(SURVIVED, some, monkeypatch, void="not known").facts["void_tries"] == 1


@pytest.mark.parametrize("verdict", [Lost("dead", Check.SILENCE), Unproven("no", Check.PATH)])
def test_a_guest_that_a_calibration_did_not_leave_well_is_not_tried_again(
    verdict: Verdict, some: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert after(verdict, some, monkeypatch, void="not known").verdict == verdict
