# SPDX-License-Identifier: Apache-2.0
"""A whole cell over a guest of bytes: whatever its parts found out comes into its verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab.config.cell_request import CellRequest
from lab.config.model import (
    Accel,
    Cell,
    DisruptionKind,
    LabConfig,
    MemoryKind,
    Options,
    Orphaning,
    VmmKind,
    Watch,
)
from lab.disruption.delivered import Delivered
from lab.errors import InfraError
from lab.observe.identity import Happened
from lab.observe.window import Window
from lab.runner import cell as cells
from lab.runner import memory, settling
from lab.runner.adoption import Fate
from lab.runner.cell import run_cell
from lab.runner.result import CellResult
from lab.testing.simulated_guest import Rehearsal
from lab.verdict.evidence import ParkedClaim
from lab.verdict.problem import Problem, ProblemKind
from lab.verdict.verdict import Check, Lost, Parked, Survived, Unproven

LAB = LabConfig.model_validate({"kernel": {"stock": {"recipe": "stock"}}})
WATCH = Watch(patience_s=3, after_s=6)


@dataclass
class Stage:
    """A host of which the guest is bytes, and all that is done to it."""

    monkeypatch: pytest.MonkeyPatch
    states: list[str] = field(default_factory=lambda: ["running"])
    voids: tuple[Window, ...] = ()
    vmm_lives: bool = True
    said: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.r = Rehearsal()
        self.old = self.r.guest.snapshot()
        self.r.watch(0.5)
        self.handover: Any = SimpleNamespace(orphans=False, adoptions=0, began=None)
        state = self._state
        self.host: Any = SimpleNamespace(
            role="a",
            domain=SimpleNamespace(state=state),
            console=SimpleNamespace(mark=lambda: SimpleNamespace(line=0)),
            by_guest=lambda: None,
            patience=SimpleNamespace(command=1),
            tainted=None,
        )
        self.guest: Any = SimpleNamespace(
            host=self.host, held=False, vmm_lives=self.vmm_lives, plan=SimpleNamespace(name="g")
        )
        self.seen: Any = SimpleNamespace(
            eye=self.r.eye, jitter=SimpleNamespace(voids=self.voids), beacons=None
        )
        self.driver: Any = SimpleNamespace(pause=lambda *_: self.r.guest.freeze())

    def _state(self) -> str:
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]

    @contextmanager
    def _begun(self, *_: object) -> Iterator[tuple[Any, Any, Window]]:
        yield self.guest, self.seen, self.r.baseline

    def run(self, made: Cell, strike: Callable[[], None], tmp_path: Path) -> CellResult:
        """Run the cell; `strike` is what its disruption does to the guest."""

        def deed(guest: Any, *_: object) -> Delivered:
            at = self.r.guest.now
            strike()
            return Delivered(Happened("it", at, self.r.guest.now), guest, self.facts)

        clock = SimpleNamespace(monotonic=self.r.guest.clock, monotonic_ns=lambda: 1)
        for module in (cells, memory):
            self.monkeypatch.setattr(module, "begun", self._begun)
            self.monkeypatch.setattr(module, "driver_for", lambda *_: self.driver)
            self.monkeypatch.setattr(module, "time", clock)
            self.monkeypatch.setattr(module, "look_again", lambda *_: None)
        said = Problem(ProblemKind.PRODUCT, self.said) if self.said else None
        self.monkeypatch.setattr(cells, "pause", self.r.watch)
        self.monkeypatch.setattr(cells, "followed", lambda *_: (self.driver, self.handover))
        self.monkeypatch.setattr(cells, "collect", lambda *_: None)
        self.monkeypatch.setattr(cells, "complaint", lambda *_: said)
        self.monkeypatch.setattr(cells, "stall", lambda *_: None)
        self.monkeypatch.setattr(settling, "search", lambda *_, **__: self.r.search())
        self.monkeypatch.setattr(memory, "DEEDS", {made.disruption: deed})
        self.monkeypatch.setattr(self.r.eye, "looked", lambda *_: self.r.watch(0.2))
        result = CellResult(made)
        run_cell(made, self.host, WATCH, tmp_path, result, deed=deed)
        return result


def cell(disruption: DisruptionKind, **options: Any) -> Cell:
    made = CellRequest(vmm=VmmKind.LABVMM, disruption=disruption).cell(LAB, accel=Accel.TCG)
    return made.model_copy(update={"options": Options(**options)})


KILL = cell(DisruptionKind.VMM_KILL)


def nothing() -> None:
    pass


def test_a_guest_that_lives_survives(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    result = Stage(monkeypatch).run(KILL, nothing, tmp_path)
    assert isinstance(result.verdict, Survived), result.verdict
    assert result.problems == []


def test_a_guest_that_dies_is_lost(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stage = Stage(monkeypatch)
    result = stage.run(KILL, stage.r.guest.freeze, tmp_path)
    assert isinstance(result.verdict, Lost)
    assert result.verdict.check is Check.SILENCE


def test_what_its_kernel_complained_of_is_a_fault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    result = Stage(monkeypatch, said="KASAN").run(KILL, nothing, tmp_path)
    assert [problem.reason for problem in result.problems] == ["KASAN"]


def test_where_l0_stood_still_nothing_is_proven(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stage = Stage(monkeypatch, voids=(Window(1004.5, 1008.5),))

    def pauses() -> None:
        stage.r.guest.freeze()
        stage.r.watch(4)
        stage.r.guest.thaw()

    verdict = stage.run(KILL, pauses, tmp_path).verdict
    assert isinstance(verdict, Unproven), verdict
    assert verdict.check is Check.JITTER


@pytest.mark.parametrize("states", [["paused"], ["running", "paused"]])
def test_a_host_that_was_stopped_by_another_tells_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, states: list[str]
) -> None:
    stage = orphaned(monkeypatch, nothing)
    stage.states = states
    with pytest.raises(InfraError, match="a is paused"):
        stage.run(ASYNC, stage.r.guest.freeze, tmp_path)


def test_so_many_kexecs_are_wanted_as_the_cell_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = cell(DisruptionKind.KEXEC, orphaning=Orphaning.RESIDENT, kexecs=100)
    verdict = Stage(monkeypatch, facts={"kexecs": 1}).run(made, nothing, tmp_path).verdict
    assert isinstance(verdict, Unproven), verdict
    assert verdict.check is Check.TALLY


def test_a_guest_that_breaks_while_it_is_handed_over_is_lost(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stage = Stage(monkeypatch)
    stage.handover.began = stage.r.guest.now
    stage.r.guest.break_chain(0)
    stage.r.watch(1)
    verdict = stage.run(KILL, nothing, tmp_path).verdict
    assert isinstance(verdict, Lost), verdict
    assert verdict.check is Check.CHAIN


ASYNC = cell(DisruptionKind.VMM_KILL, orphaning=Orphaning.ASYNC, policy="park")


def orphaned(
    monkeypatch: pytest.MonkeyPatch, adopt: Callable[[], None], *, adoptions: int = 1
) -> Stage:
    """Return a stage whose guest is parked, and then adopted; `adopt` is what that does to it."""
    stage = Stage(monkeypatch, vmm_lives=False)
    stage.handover = SimpleNamespace(orphans=True, adoptions=adoptions, began=None)

    def see_through(guest: Any, *_: object, **__: object) -> Fate:
        end = began = stage.r.guest.now
        stage.r.guest.thaw()
        adopt()
        stage.r.watch(6)
        return Fate(guest, end, ParkedClaim("vCPU 0"), Window(began, stage.r.guest.now))

    monkeypatch.setattr(cells, "see_through", see_through)
    return stage


def test_a_guest_that_is_parked_and_goes_on_is_parked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stage = orphaned(monkeypatch, nothing)
    verdict = stage.run(ASYNC, stage.r.guest.freeze, tmp_path).verdict
    assert isinstance(verdict, Parked), verdict


def test_a_parked_guest_that_is_silent_when_adopted_is_lost(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stage = orphaned(monkeypatch, nothing)
    stage.r.guest.thaw = nothing  # type: ignore[method-assign] # nobody lets it run
    verdict = stage.run(ASYNC, stage.r.guest.freeze, tmp_path).verdict
    assert isinstance(verdict, Lost), verdict
    assert verdict.reason.startswith("after it was to go on: vCPU 0 was silent")


def test_a_parked_guest_that_is_rewound_when_adopted_is_lost(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stage = orphaned(monkeypatch, lambda: stage.r.guest.rewind(stage.old))
    verdict = stage.run(ASYNC, stage.r.guest.freeze, tmp_path).verdict
    assert isinstance(verdict, Lost), verdict
    assert verdict.check is Check.REWIND


def test_a_guest_that_nobody_adopted_is_not_proven(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stage = orphaned(monkeypatch, nothing, adoptions=0)
    verdict = stage.run(ASYNC, stage.r.guest.freeze, tmp_path).verdict
    assert isinstance(verdict, Unproven), verdict
    assert (verdict.check, "1 adoptions were wanted" in verdict.reason) == (Check.TALLY, True)


def restored(stage: Stage, restore: Callable[[], None], then: Callable[[], None] = nothing) -> None:
    """Have the guest go on in another kernel; `restore` does that to it, and `then` follows."""

    def recover(guest: Any, *_: object) -> Any:
        stage.r.guest.thaw()
        restore()
        return SimpleNamespace(said="aa", guest=guest)

    def watched_on(*_: object) -> Window:
        began = stage.r.guest.now
        then()
        stage.r.watch(6)
        return Window(began, stage.r.guest.now)

    handover = SimpleNamespace(
        verb="restore", preserve=lambda *_: SimpleNamespace(digest="aa"), recover=recover
    )
    stage.monkeypatch.setattr(memory, "MEMORY_HANDOVERS", {MemoryKind.LUO_GUEST: handover})
    stage.monkeypatch.setattr(memory, "watched_on", watched_on)


def test_a_restored_guest_that_is_rewound_is_lost_however_long_its_pause_took(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stage = Stage(monkeypatch)

    def pause(*_: object) -> None:
        stage.r.guest.freeze()
        stage.r.watch(0.6)

    stage.driver.pause = pause
    restored(stage, lambda: stage.r.guest.rewind(stage.old))
    verdict = stage.run(LUO, nothing, tmp_path).verdict
    assert isinstance(verdict, Lost), verdict
    assert verdict.check is Check.REWIND


LUO = cell(DisruptionKind.KEXEC, memory=MemoryKind.LUO_GUEST)


def test_a_restored_guest_that_goes_on_survives_in_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stage = Stage(monkeypatch)
    restored(stage, nothing)
    result = stage.run(LUO, nothing, tmp_path)
    assert isinstance(result.verdict, Survived), result.verdict
    assert result.facts["digest_after"] == "aa"


def test_a_restored_guest_that_is_silent_is_lost(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stage = Stage(monkeypatch)
    restored(stage, stage.r.guest.freeze)
    verdict = stage.run(LUO, nothing, tmp_path).verdict
    assert isinstance(verdict, Lost), verdict
    assert verdict.check is Check.SILENCE


def test_a_restored_guest_that_paused_while_l0_stood_still_is_not_proven(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stage = Stage(monkeypatch, voids=(Window(1004.5, 1008.5),))

    def pauses() -> None:
        stage.r.guest.freeze()
        stage.r.watch(4)
        stage.r.guest.thaw()

    restored(stage, nothing, pauses)
    verdict = stage.run(LUO, nothing, tmp_path).verdict
    assert isinstance(verdict, Unproven), verdict
    assert verdict.check is Check.JITTER
