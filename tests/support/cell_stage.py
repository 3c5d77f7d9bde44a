# SPDX-License-Identifier: Apache-2.0
"""A host of which the guest is bytes, for tests of a whole cell: no machine, no waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab.config.cell_request import CellRequest
from lab.config.model import Accel, Cell, DisruptionKind, LabConfig, Options, VmmKind, Watch
from lab.disruption.delivered import Delivered
from lab.observe.identity import Happened
from lab.observe.window import Window
from lab.runner import cell as cells
from lab.runner import memory, running, settling, strike
from lab.runner.cell import run_cell
from lab.runner.course import Course
from lab.runner.following import Following
from lab.testing.simulated_guest import KEY, Rehearsal
from lab.verdict.problem import Problem, ProblemKind
from lab.virt.happenings import Happenings

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
        state = self._state
        self.happenings = Happenings(self.r.guest.clock)
        self.host: Any = SimpleNamespace(
            role="a",
            domain=SimpleNamespace(state=state, role="a", happenings=self.happenings),
            console=SimpleNamespace(mark=lambda: SimpleNamespace(line=0)),
            by_guest=lambda: None,
            patience=SimpleNamespace(command=1),
            tainted=None,
        )
        self.guest: Any = SimpleNamespace(
            host=self.host,
            vmm_lives=self.vmm_lives,
            plan=SimpleNamespace(name="g", key=KEY),
            end=lambda: None,
        )
        self.seen: Any = SimpleNamespace(
            eye=self.r.eye,
            jitter=SimpleNamespace(voids=self.voids, suspended=()),
            beacons=None,
        )
        self.handover = followed_abi(self.seen, orphans=False)
        self.driver: Any = SimpleNamespace(pause=lambda *_: self.r.guest.freeze())

    def pauses(self) -> None:
        """Have the guest stand still for 4 s, and go on."""
        self.r.guest.freeze()
        self.r.watch(4)
        self.r.guest.thaw()

    def _state(self) -> str:
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]

    @contextmanager
    def _begun(self, *_: object) -> Iterator[tuple[Any, Any, Window]]:
        yield self.guest, self.seen, self.r.baseline

    def run(self, made: Cell, does: Callable[[], None], tmp_path: Path) -> Course:
        """Run the cell; `does` is what its disruption does to the guest."""

        def deed(guest: Any, *_: object) -> Delivered:
            at = self.r.guest.now
            does()
            return Delivered(Happened("it", at, self.r.guest.now), guest, self.facts)

        clock = SimpleNamespace(monotonic=self.r.guest.clock, monotonic_ns=lambda: 1)
        for module in (running, memory):
            self.monkeypatch.setattr(module, "begun", self._begun)
            self.monkeypatch.setattr(module, "driver_for", lambda *_: self.driver)
            self.monkeypatch.setattr(module, "time", clock)
        for module in (strike, memory):
            self.monkeypatch.setattr(module, "look_again", lambda *_: None)
        said = Problem(ProblemKind.PRODUCT, self.said) if self.said else None
        self.monkeypatch.setattr(running, "pause", self.r.watch)
        self.monkeypatch.setattr(running, "followed", lambda *_: (self.driver, self.handover))
        self.monkeypatch.setattr(cells, "collect", lambda *_: {})
        self.monkeypatch.setattr(cells, "complaint", lambda *_: said)
        self.monkeypatch.setattr(cells, "stall", lambda *_: None)
        self.monkeypatch.setattr(settling, "search", lambda *_, **__: self.r.search())
        self.monkeypatch.setattr(memory, "DEEDS", {made.disruption: deed})
        self.monkeypatch.setattr(self.r.eye, "looked", lambda *_: self.r.watch(0.2))
        course = Course()
        run_cell(made, self.host, WATCH, tmp_path, course, deed=deed)
        return course


def followed_abi(seen: Any, *, orphans: bool, adoptions: int = 0) -> Following:
    """Return a hand-over by an ABI of which only the name is there."""
    abi: Any = SimpleNamespace(name="any", orphans=orphans)
    handover = Following(abi, seen)
    handover.adoptions = adoptions
    return handover


def cell(disruption: DisruptionKind, **options: Any) -> Cell:
    """Return a cell of labvmm's."""
    made = CellRequest(vmm=VmmKind.LABVMM, disruption=disruption).cell(LAB, accel=Accel.TCG)
    return made.model_copy(update={"options": Options(**options)})


def nothing() -> None:
    """Do nothing to the guest."""
