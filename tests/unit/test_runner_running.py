# SPDX-License-Identifier: Apache-2.0
"""A whole cell over a guest of bytes: whatever its parts found out comes into its verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab.config.model import DisruptionKind, Orphaning
from lab.errors import InfraError
from lab.observe.window import Window
from lab.runner import chaos, running
from lab.runner.adoption import Fate
from lab.verdict.evidence import ParkedClaim, Tally
from lab.verdict.verdict import Check, Lost, Parked, Survived, Unproven
from tests.support.cell_stage import Stage, cell, followed_abi, nothing
from tests.support.guests_and_their_ram import stop_looking

KILL = cell(DisruptionKind.VMM_KILL)
ASYNC = cell(DisruptionKind.VMM_KILL, orphaning=Orphaning.ASYNC, policy="park")


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


def test_where_l0_stalled_nothing_is_proven(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stage = Stage(monkeypatch, voids=(Window(1004.5, 1008.5),))
    verdict = stage.run(KILL, stage.pauses, tmp_path).verdict
    assert isinstance(verdict, Unproven), verdict
    assert verdict.check is Check.JITTER


def test_how_long_l0_was_late_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stage = Stage(monkeypatch, voids=(Window(1004.5, 1004.7), Window(2000, 2001)))
    assert stage.run(KILL, nothing, tmp_path).facts["late_ms"] == 200.0


def test_a_host_that_others_paused_and_resumed_proves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stage = Stage(monkeypatch)
    paused = partial(stage.happenings.note, "paused")
    verdict = stage.run(KILL, paused, tmp_path).verdict
    assert isinstance(verdict, Unproven), verdict
    assert verdict.check is Check.INTERFERENCE
    assert "a was paused" in verdict.reason


@pytest.mark.parametrize("states", [["paused"], ["running", "paused"]])
def test_a_host_that_was_stopped_by_another_tells_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, states: list[str]
) -> None:
    stage = orphaned(monkeypatch, nothing)
    stage.states = states
    with pytest.raises(InfraError, match="a is paused"):
        stage.run(ASYNC, stage.r.guest.freeze, tmp_path)


@pytest.mark.parametrize(("ran", "check"), [(True, Check.ALL), (False, Check.TALLY)])
def test_a_chaos_cell_whose_load_did_not_run_is_not_proven(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ran: bool, check: Check
) -> None:
    looks: list[int] = []

    @contextmanager
    def busy(*_: object) -> Iterator[Any]:
        tally = Tally("looks at a load that runs", 2, 2 if ran else 1)
        yield SimpleNamespace(look=lambda: looks.append(1), tally=tally, ticks=7)

    monkeypatch.setattr(chaos, "busy", busy)
    course = Stage(monkeypatch).run(KILL, nothing, tmp_path)
    assert course.verdict is not None
    assert course.verdict.check is check
    assert (len(looks), course.facts["load_ticks"]) == (2, 7)


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


def orphaned(
    monkeypatch: pytest.MonkeyPatch, adopt: Callable[[], None], *, adoptions: int = 1
) -> Stage:
    """Return a stage whose guest is parked, and then adopted; `adopt` is what that does to it."""
    stage = Stage(monkeypatch, vmm_lives=False)
    stage.handover = followed_abi(stage.seen, orphans=True, adoptions=adoptions)

    def see_through(guest: Any, *_: object, **__: object) -> Fate:
        end = began = stage.r.guest.now
        stage.r.guest.thaw()
        adopt()
        stage.r.watch(6)
        return Fate(guest, end, ParkedClaim("vCPU 0"), Window(began, stage.r.guest.now))

    monkeypatch.setattr(running, "see_through", see_through)
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
    assert verdict.reason.startswith("after it was resumed: vCPU 0 was silent")


def test_a_parked_guest_that_is_rewound_when_adopted_is_lost(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stage = orphaned(monkeypatch, lambda: stage.r.guest.rewind(stage.old))
    verdict = stage.run(ASYNC, stage.r.guest.freeze, tmp_path).verdict
    assert isinstance(verdict, Lost), verdict
    assert verdict.check is Check.REWIND


def test_an_orphan_verifies_its_ram_under_the_vmm_that_adopted_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stage = Stage(monkeypatch, vmm_lives=False)
    stage.handover = followed_abi(stage.seen, orphans=True, adoptions=1)

    def see_through(guest: Any, *_: object, **__: object) -> Fate:
        stop_looking(stage.r.guest.vcpus[0])  # until here, and under nobody, it did verify some
        adopted = stage.r.guest.now
        stage.r.watch(6)
        return Fate(guest, stage.r.guest.now, adopted=adopted)

    monkeypatch.setattr(running, "see_through", see_through)
    run_on = cell(DisruptionKind.VMM_KILL, orphaning=Orphaning.ASYNC)
    verdict = stage.run(run_on, nothing, tmp_path).verdict
    assert isinstance(verdict, Unproven), verdict
    assert (verdict.check, "none of its RAM since it was adopted" in verdict.reason) == (
        Check.RAM,
        True,
    )


def test_a_guest_that_nobody_adopted_is_not_proven(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stage = orphaned(monkeypatch, nothing, adoptions=0)
    verdict = stage.run(ASYNC, stage.r.guest.freeze, tmp_path).verdict
    assert isinstance(verdict, Unproven), verdict
    assert (verdict.check, "1 adoptions were ordered" in verdict.reason) == (Check.TALLY, True)
