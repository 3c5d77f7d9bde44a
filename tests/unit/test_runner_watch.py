# SPDX-License-Identifier: Apache-2.0
"""A page without a beacon is looked for elsewhere; a guest that never beat is a false start."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Self, cast

import pytest

from lab.config.model import Watch
from lab.errors import DeadlineError, FalseStartError, InfraError
from lab.observe.beacon import NO_BEACON
from lab.observe.trail import Blind
from lab.observe.window import Window
from lab.runner import watch
from lab.runner.course import Course
from lab.runner.watch import wiped
from lab.verdict.evidence import Evidence

WIPED = Blind(1.0, None, NO_BEACON)


@pytest.mark.parametrize(
    ("blinds", "expected"),
    [
        ([[WIPED]], True),
        ([[WIPED], [WIPED]], True),
        ([[WIPED], []], False),
        ([[]], False),
        ([[Blind(1.0, 2.0, NO_BEACON)]], False),
        ([[Blind(1.0, None, "cannot be read")]], False),
    ],
)
def test_each_page_must_be_wiped_in_the_end(blinds: list[list[Blind]], expected: bool) -> None:
    trails = {n: SimpleNamespace(blinds=those) for n, those in enumerate(blinds)}
    assert wiped(cast("Evidence", SimpleNamespace(trails=trails))) is expected


def test_a_watch_says_how_l0_was_watched_and_by_which_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    probed: list[object] = []

    @contextmanager
    def probe(_limit: float, process: object) -> Iterator[Any]:
        probed.append(process)
        yield SimpleNamespace(how="run delay")

    guest = Silent("nowhere")
    monkeypatch.setattr(watch, "JitterProbe", probe)
    monkeypatch.setattr(watch, "Eye", guest.eye)
    monkeypatch.setattr(guest, "beating", lambda _by: None)
    monkeypatch.setattr(watch.Watched, "undisturbed", lambda *_: Window(0, 1))
    course = Course()
    driver: Any = SimpleNamespace(start=lambda *_: guest)
    with watch.begun(driver, cast("Any", guest.host), cast("Any", None), Watch(), course):
        pass
    assert probed == ["/proc/7"]
    assert course.facts["late_by"] == "run delay"


class Silent:
    """A guest, and the eye on it, of which one never comes to what it is waited for."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.plan = SimpleNamespace(vmm="any", key=b"", canary=b"")
        self.host = SimpleNamespace(
            patience=SimpleNamespace(guest=1.0),
            domain=SimpleNamespace(peek=None, process="/proc/7"),
            by_guest=lambda: None,
        )

    def beacons(self, _by: object) -> Any:
        """Return where the beacons are."""
        if self.where == "beacons":
            raise DeadlineError("no beacons")
        return SimpleNamespace(boot_id=b"")

    def locate(self, *_: object) -> Any:
        """Find their pages."""
        if self.where == "locate":
            raise InfraError("not there")
        return {}

    def eye(self, *_: object, **__: object) -> Any:
        """Be an eye that waits for beats."""
        return self

    def beating(self, _by: object) -> None:
        """See no beat."""
        raise DeadlineError("no beats")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def broken(where: str, monkeypatch: pytest.MonkeyPatch) -> InfraError:
    guest = Silent(where)
    driver = SimpleNamespace(registers=lambda *_: "rip=0x12")
    monkeypatch.setattr(watch, "driver_for", lambda _: driver)
    monkeypatch.setattr(watch, "Eye", guest.eye)
    with pytest.raises(InfraError) as e, watch.watched(cast("Any", guest), Watch()):
        pass
    return e.value


@pytest.mark.parametrize("where", ["beacons", "beats"])
def test_guest_without_a_beat_is_a_false_start_with_its_place(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = broken(where, monkeypatch)
    assert isinstance(error, FalseStartError)
    assert f"no {where}" in str(error)
    assert "rip=0x12" in str(error)


def test_a_page_that_is_not_found_is_no_false_start(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not isinstance(broken("locate", monkeypatch), FalseStartError)


@pytest.mark.parametrize("lives", [True, False])
def test_an_adopter_that_ends_is_not_watched_in_silence(
    monkeypatch: pytest.MonkeyPatch, lives: bool
) -> None:
    monkeypatch.setattr(watch, "pause", lambda _: None)
    plan = SimpleNamespace(name="g")
    guest: Any = SimpleNamespace(vmm_lives=lives, plan=plan, last_words=lambda: "it crashed")
    course = Course()
    if lives:
        assert watch.watched_on(guest, Watch(), "watch", course).length >= 0
        return
    with pytest.raises(InfraError, match="the adopter of g ended:\nit crashed"):
        watch.watched_on(guest, Watch(), "watch", course)
