# SPDX-License-Identifier: Apache-2.0
"""A whole cell of scope memory over a guest of bytes that is restored in another kernel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab.config.model import DisruptionKind, MemoryKind
from lab.observe.window import Window
from lab.runner import memory
from lab.verdict.verdict import Check, Lost, Survived, Unproven
from tests.support.cell_stage import Stage, cell, nothing

LUO = cell(DisruptionKind.KEXEC, memory=MemoryKind.LUO_GUEST)


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


def test_a_restored_guest_paused_while_l0_stalled_is_unproven(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stage = Stage(monkeypatch, voids=(Window(1004.5, 1008.5),))
    restored(stage, nothing, stage.pauses)
    verdict = stage.run(LUO, nothing, tmp_path).verdict
    assert isinstance(verdict, Unproven), verdict
    assert verdict.check is Check.JITTER
