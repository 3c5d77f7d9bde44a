# SPDX-License-Identifier: Apache-2.0
"""A verdict is settled while the eye is open: what is lost from sight is searched for first."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab.config.model import Watch
from lab.observe.search import Search
from lab.observe.window import Window
from lab.runner import settling
from lab.runner.course import Course
from lab.runner.settling import settle
from lab.testing.simulated_guest import KEY, Rehearsal
from lab.verdict.evidence import ParkedClaim
from lab.verdict.verdict import Check, Lost, Parked, Survived, Unproven
from lab.virt.happenings import Happenings
from tests.support.guests_in_and_out_of_sight import ELSEWHERE

DOMAIN = SimpleNamespace(role="a", happenings=Happenings())


@dataclass
class Settled:
    """A guest of bytes under an open eye, and how its host's memory was searched."""

    rehearsal: Rehearsal
    quick: bool = True
    slowly: list[bool] = field(default_factory=list)
    voids: tuple[Window, ...] = ()
    suspended = ()
    result: Course = field(default_factory=Course)

    def search(self, _guest: object, _watched: object, *, slowly: bool) -> Search | None:
        """Search as the runner does: where that is slow, only if it is wanted."""
        self.slowly.append(slowly)
        return self.rehearsal.search() if self.quick or slowly else None

    def settle(self, monkeypatch: pytest.MonkeyPatch, **more: object) -> Course:
        """Strike the guest now, watch on, and settle."""
        r = self.rehearsal
        struck = r.now()
        return self.settle_since(monkeypatch, struck, **more)

    def settle_since(self, monkeypatch: pytest.MonkeyPatch, struck: Any, **more: object) -> Course:
        """Watch on, and settle."""
        r = self.rehearsal
        r.watch(8)
        monkeypatch.setattr(settling, "search", more.pop("search", self.search))
        monkeypatch.setattr(settling, "pause", r.watch)
        monkeypatch.setattr(settling, "monotonic", r.guest.clock)

        known = replace(r.evidence(struck, searched=False), **cast("Any", more))
        seen: Any = SimpleNamespace(eye=r.eye, jitter=self)
        host = SimpleNamespace(domain=DOMAIN)
        guest: Any = SimpleNamespace(host=host, plan=SimpleNamespace(key=KEY))
        settle(guest, seen, Watch(), known, self.result)
        return self.result


def test_a_guest_that_lives_is_searched_for_a_second_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    settled = Settled(Rehearsal())
    result = settled.settle(monkeypatch)
    assert isinstance(result.verdict, Survived)
    assert settled.slowly == [False]
    assert result.facts["search_by"] == "peek"
    assert (result.facts["other_copies"], result.facts["live_copies"]) == (0, 0)


def test_a_second_copy_that_lives_is_a_split_brain(monkeypatch: pytest.MonkeyPatch) -> None:
    settled = Settled(Rehearsal())
    settled.rehearsal.guest.copies[0] = ELSEWHERE
    verdict = settled.settle(monkeypatch).verdict
    assert isinstance(verdict, Unproven)
    assert verdict.check is Check.SPLIT_BRAIN
    assert settled.result.facts["live_copies"] == 1


def test_where_a_search_is_slow_a_guest_that_lives_is_not_searched_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settled = Settled(Rehearsal(), quick=False)
    assert isinstance(settled.settle(monkeypatch).verdict, Survived)
    assert "search_s" not in settled.result.facts


def test_a_guest_is_lost_only_after_a_search_however_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    settled = Settled(Rehearsal(), quick=False)
    settled.rehearsal.guest.freeze()
    verdict = settled.settle(monkeypatch).verdict
    assert isinstance(verdict, Lost)
    assert (verdict.check, settled.slowly) == (Check.SILENCE, [True])


def test_a_guest_whose_page_moved_is_found_and_watched_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settled = Settled(Rehearsal(), quick=False)
    settled.rehearsal.guest.move(0, ELSEWHERE)
    result = settled.settle(monkeypatch)
    assert isinstance(result.verdict, Unproven), result.verdict
    assert result.verdict.check is Check.PAGE
    assert result.facts["found_at"] == hex(ELSEWHERE)
    assert "watch elsewhere" in dict(result.phases)
    assert settled.rehearsal.eye.pages == {0: ELSEWHERE}


def test_a_guest_that_is_found_elsewhere_as_another_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settled = Settled(Rehearsal(), quick=False)
    guest = settled.rehearsal.guest
    struck = settled.rehearsal.now()
    guest.move(0, ELSEWHERE)
    guest.restart(bytes(16))
    verdict = settled.settle_since(monkeypatch, struck).verdict
    assert isinstance(verdict, Lost), verdict
    assert verdict.check is Check.RESTART


def test_a_guest_of_which_nothing_is_left_is_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    settled = Settled(Rehearsal(), quick=False)
    struck = settled.rehearsal.now()
    settled.rehearsal.guest.freeze()
    settled.rehearsal.guest.wipe(0)
    verdict = settled.settle_since(monkeypatch, struck).verdict
    assert isinstance(verdict, Lost), verdict
    assert verdict.check is Check.NOWHERE


def test_a_parked_guest_is_searched_for_a_second_copy_too(monkeypatch: pytest.MonkeyPatch) -> None:
    settled = Settled(Rehearsal())
    struck = settled.rehearsal.now()
    settled.rehearsal.guest.freeze()
    result = settled.settle_since(monkeypatch, struck, parked=ParkedClaim("vCPU 0 PAUSED"))
    assert isinstance(result.verdict, Parked)
    assert result.facts["live_copies"] == 0


def test_what_l0_was_late_for_counts_though_it_is_told_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settled = Settled(Rehearsal(), quick=False)
    r = settled.rehearsal
    struck = r.now()
    r.guest.freeze()
    r.watch(6)
    until = r.guest.now
    r.guest.thaw()

    def late(*about: Any, **how: Any) -> Search | None:
        settled.voids = (Window(struck.at, until),)
        return settled.search(*about, **how)

    result = settled.settle_since(monkeypatch, struck, search=late)
    assert isinstance(result.verdict, Unproven)
    assert result.verdict.check is Check.JITTER
