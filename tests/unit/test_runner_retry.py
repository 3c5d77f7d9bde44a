# SPDX-License-Identifier: Apache-2.0
"""Which experiments are done anew: only those in which L0 stalled, never a failure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab.config.load import load_lab, load_topologies
from lab.config.matrix import expand
from lab.config.model import Cell, Watch
from lab.deadline import pause
from lab.errors import FalseStartError, InfraError
from lab.runner import retry
from lab.runner.course import Course
from lab.runner.result import CellResult
from lab.verdict.problem import Problem, ProblemKind
from lab.verdict.verdict import Check, Lost, Survived, Unproven, Verdict
from tests.support.simulated_cell import cell_of_an_orphan, simulated_pool

CHECKOUT = Path(__file__).parents[2]
SURVIVED = Survived("it beat on", Check.ALL)
LABS, OWN = Watch(), Watch(after_s=1.5)


@pytest.fixture(scope="module")
def some() -> Cell:
    lab = load_lab(CHECKOUT / "lab.toml")
    topologies = load_topologies(CHECKOUT / "topologies", lab)
    return next(iter(expand(topologies, lab, accel="tcg")))


def after(
    first: Verdict, cell: Cell, monkeypatch: pytest.MonkeyPatch, *, void: str = ""
) -> CellResult:
    """Try a cell that is judged `first` at its first try, and to have survived at any other."""
    verdicts = iter([(first, void), *[(SURVIVED, "")] * retry.TRIES])

    def run_cell(*about: Any, **_: object) -> None:
        course: Course = about[-1]
        course.verdict, void_reason = next(verdicts)
        course.problems += [Problem(ProblemKind.VOID, void_reason)] if void_reason else []

    result = attempted(run_cell, cell, Path("nowhere"), monkeypatch)
    assert result.broke is None
    return result


def attempted(
    run_cell: Callable[..., None],
    cell: Cell,
    evidence: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    watch: Watch | None = None,
) -> CellResult:
    """Attempt a cell of which `run_cell` says what comes of it."""
    monkeypatch.setattr(retry, "run_cell", run_cell)
    monkeypatch.setattr(retry, "turn", lambda *_: nullcontext())
    host = SimpleNamespace(
        seen_at_boot={"emulator": "taken out"},
        boots=["first"],
        blueprint=None,
        domain=SimpleNamespace(errata="taken out"),
    )
    lab_session = SimpleNamespace(lab=SimpleNamespace(watch=LABS), sink=lambda _: None)
    pool: Any = SimpleNamespace(lab_session=lab_session, lease=lambda _: nullcontext(host))
    return retry.attempted(pool, cell, evidence, watch=watch)


def test_what_became_of_qemus_error_is_on_record(
    some: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert after(SURVIVED, some, monkeypatch).facts["emulator"] == "taken out"


@pytest.mark.parametrize("check", [c for c in Check if c is not Check.JITTER])
def test_what_is_not_known_to_be_l0s_fault_is_not_done_anew(
    check: Check, some: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert after(Unproven("no", check), some, monkeypatch).verdict == Unproven("no", check)


def test_window_in_which_l0_stalled_is_repeated_and_counted(
    some: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = after(Unproven("late", Check.JITTER), some, monkeypatch)
    assert (result.verdict, result.facts["void_tries"]) == (SURVIVED, 1)


def test_ring_overrun_by_a_late_look_is_watched_anew(
    some: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = after(Unproven("rare", Check.OVERRUN), some, monkeypatch, void="looks were late")
    assert (late.verdict, late.facts["void_tries"]) == (SURVIVED, 1)


def test_a_calibration_whose_stop_is_not_known_is_done_anew(
    some: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert after(SURVIVED, some, monkeypatch, void="not known").facts["void_tries"] == 1


@pytest.mark.parametrize("verdict", [Lost("dead", Check.SILENCE), Unproven("no", Check.PATH)])
def test_guest_harmed_by_calibration_is_not_retried(
    verdict: Verdict, some: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert after(verdict, some, monkeypatch, void="not known").verdict == verdict


def test_false_start_is_retried_once_and_reported(
    some: Cell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = [FalseStartError("no beacon; its vCPUs: rip=0x12")]

    def run_cell(*about: Any, **_: object) -> None:
        if broken:
            raise broken.pop()
        about[-1].verdict = SURVIVED

    result = attempted(run_cell, some, tmp_path, monkeypatch)
    assert result.broke is None
    assert (result.verdict, result.facts["false_starts"]) == (SURVIVED, 1)
    assert "rip=0x12" in (tmp_path / "false-start.txt").read_text()


def test_second_false_start_is_an_error(
    some: Cell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tries = []

    def run_cell(*about: Any, **_: object) -> None:
        tries.append(about)
        raise FalseStartError("no beacon")

    result = attempted(run_cell, some, tmp_path, monkeypatch)
    assert isinstance(result.broke, FalseStartError)
    assert (result.verdict, len(tries)) == (None, 2)


def test_what_broke_otherwise_is_not_tried_again(
    some: Cell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tries = []

    def run_cell(*about: Any, **_: object) -> None:
        tries.append(about)
        raise InfraError("something else")

    result = attempted(run_cell, some, tmp_path, monkeypatch)
    assert (str(result.broke), len(tries)) == ("something else", 1)


def test_a_cell_that_l0_spoils_each_time_is_tried_three_times(
    some: Cell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tries = []

    def run_cell(*about: Any, **_: object) -> None:
        tries.append(about)
        about[-1].verdict = Unproven("late", Check.JITTER)

    result = attempted(run_cell, some, tmp_path, monkeypatch)
    assert (len(tries), result.facts["void_tries"]) == (3, 2)
    assert result.verdict == Unproven("late", Check.JITTER)


@pytest.mark.parametrize(("held_s", "labels"), [(0.0, ["host"]), (0.1, ["turn", "host"])])
def test_waiting_for_others_is_a_phase_of_its_own(
    held_s: float, labels: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    @contextmanager
    def turn(*_: object) -> Iterator[None]:
        pause(held_s)
        yield

    def broken(*_: object, **__: object) -> None:
        raise InfraError("enough")

    pool, cell = simulated_pool(monkeypatch, tmp_path), cell_of_an_orphan()
    monkeypatch.setattr(retry, "turn", turn)
    monkeypatch.setattr(retry, "run_cell", broken)
    phases = dict(retry.attempted(pool, cell, tmp_path / "evidence").phases)
    assert list(phases) == labels
    assert phases.get("turn", held_s) >= held_s


@pytest.mark.parametrize(("watch", "taken"), [(None, LABS), (OWN, OWN)])
def test_a_cell_is_watched_as_lab_toml_says_unless_told_otherwise(
    some: Cell,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    watch: Watch | None,
    taken: Watch,
) -> None:
    seen = []

    def run_cell(*about: Any, **_: object) -> None:
        seen.append(about[2])
        about[-1].verdict = SURVIVED

    attempted(run_cell, some, tmp_path, monkeypatch, watch=watch)
    assert seen == [taken]
