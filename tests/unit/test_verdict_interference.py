# SPDX-License-Identifier: Apache-2.0
"""A host that others paused, reset or migrated, or an L0 that slept, proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from lab.testing.simulated_guest import Rehearsal
from lab.verdict.evidence import Evidence, Interference
from lab.verdict.judge import judge
from lab.verdict.verdict import Check, Lost, Survived, Unproven
from tests.support.guests_that_live_or_die import dies_at_once, lives_on

GUESTS = (lives_on, dies_at_once)


def reset_by_another(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.watch(1)
    r.guest.restart(b"another boot id!")
    r.watch(8)
    return r.evidence(struck)


def touched(e: Evidence, at: float) -> Evidence:
    return replace(e, interference=(Interference(at, "libvirt says that a was paused"),))


@pytest.mark.parametrize("guest", [*GUESTS, reset_by_another])
def test_interference_comes_before_life_and_death(guest: Callable[[Rehearsal], Evidence]) -> None:
    e = guest(Rehearsal())
    found = judge(touched(e, e.struck + 1.5))
    assert isinstance(found, Unproven)
    assert found.check is Check.INTERFERENCE
    assert "a was paused (" in found.reason
    assert found.figures.vcpus  # what was seen is shown all the same


@pytest.mark.parametrize("edge", ["began", "ended"])
def test_the_whole_watch_counts(edge: str) -> None:
    e = lives_on(Rehearsal())
    at = e.baseline.began if edge == "began" else e.end
    assert judge(touched(e, at)).check is Check.INTERFERENCE


@pytest.mark.parametrize(("guest", "kind"), [(lives_on, Survived), (dies_at_once, Lost)])
def test_what_was_done_before_or_after_the_watch_is_no_matter(
    guest: Callable[[Rehearsal], Evidence], kind: type
) -> None:
    e = guest(Rehearsal())
    for at in (e.baseline.began - 0.1, e.end + 0.1):
        assert isinstance(judge(touched(e, at)), kind)


def test_a_time_that_is_no_number_hides_nothing() -> None:
    e = lives_on(Rehearsal())
    assert judge(touched(e, float("nan"))).check is Check.EVIDENCE


def test_all_that_was_done_is_named() -> None:
    e = lives_on(Rehearsal())
    two = (Interference(e.struck, "a was paused"), Interference(e.struck + 1, "a was resumed"))
    reason = judge(replace(e, interference=two)).reason
    assert "a was paused (" in reason
    assert "a was resumed (" in reason
