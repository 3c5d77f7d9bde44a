# SPDX-License-Identifier: Apache-2.0
"""The deed is done once: at once, or in a chaos cell at a moment that is told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lab.config.cell_request import CellRequest
from lab.config.model import Accel, Cell, DisruptionKind, LabConfig, Options
from lab.disruption.delivered import Delivered
from lab.observe.identity import Happened
from lab.runner import strike as strikes
from lab.runner.course import Course
from lab.runner.strike import strike

LAB = LabConfig.model_validate({"kernel": {"stock": {"recipe": "stock"}}})
QUIET = CellRequest(disruption=DisruptionKind.VMM_KILL).cell(LAB, accel=Accel.TCG)
CHAOS = QUIET.model_copy(update={"options": Options(chaos=True)})
CPR = QUIET.model_copy(update={"disruption": DisruptionKind.CPR_TRANSFER})


def struck(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> tuple[Course, list[str]]:
    """Strike a guest; return what was noted, and what was done in which order."""
    done: list[str] = []
    course = Course()
    console = SimpleNamespace(mark=lambda: SimpleNamespace(line=7))
    guest: Any = SimpleNamespace(host=SimpleNamespace(console=console))
    seen: Any = SimpleNamespace(eye=SimpleNamespace(mark=done.append))
    driver: Any = None

    def deed(guest: Any, *_: object) -> Delivered:
        done.append("deed")
        return Delivered(Happened("it", 1.0, 2.0), guest)

    def wait(seconds: float) -> None:
        assert round(seconds, 3) == course.facts["struck_after_s"]
        done.append("wait")

    monkeypatch.setattr(strikes, "pause", wait)
    monkeypatch.setattr(strikes, "look_again", lambda *_: done.append("look again"))
    delivered = strike(cell, guest, driver, seen, course, deed=deed)
    assert course.delivered is delivered
    assert course.struck_at == 7
    return course, done


def test_a_guest_is_struck_at_once_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    course, done = struck(QUIET, monkeypatch)
    assert done == ["vmm-kill", "deed"]
    assert course.facts == {}


def test_chaos_strikes_at_a_moment_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    course, done = struck(CHAOS, monkeypatch)
    assert done == ["wait", "vmm-kill", "deed"]
    assert 0 <= float(str(course.facts["struck_after_s"])) <= 2


def test_a_guest_that_moved_to_another_vmm_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert struck(CPR, monkeypatch)[1] == ["cpr-transfer", "deed", "look again"]
