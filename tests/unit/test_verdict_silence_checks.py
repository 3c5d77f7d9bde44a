# SPDX-License-Identifier: Apache-2.0
"""The checks of silence, each at its bound, on trails that are made of instants."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pytest

from lab.observe.identity import Undisturbed
from lab.observe.search import Search, Sighting
from lab.observe.trail import Blind
from lab.observe.window import Window
from lab.verdict.evidence import Evidence, Stop
from lab.verdict.silence_checks import ending, guest_silent, silent
from lab.verdict.verdict import Check, Lost, Unproven
from tests.support.made_trails import every, evidence_of, steady, trail_of
from tests.support.told import a_loss, no_proof, numbers

NOWHERE = Search((), (0x1000,))
LOOKS = every(0.1, 0.0, 30.0)


def paused(
    gone: float, back: float | None = None, *, looks: Iterable[float] = LOOKS, **more: Any
) -> Evidence:
    """Return evidence of a guest that beats up to `gone`, and from `back` on."""
    beats = every(0.1, 0.0, gone) + ([] if back is None else every(0.1, back, 30.0))
    return evidence_of(trail_of(beats, looks), **({"search": NOWHERE} | more))


@pytest.mark.parametrize(("back", "lost"), [(15.0, False), (15.1, False), (15.3, True)])
def test_a_silence_longer_than_patience_is_a_loss(back: float, *, lost: bool) -> None:
    said = "vCPU 0 was silent for 5.2 s from +0.0 s after vmm-kill and then beat on"
    wanted = a_loss(f"{said}; 5.0 s is the limit", Check.SILENCE)
    assert silent(paused(10.0, back)) == (wanted if lost else None)


def test_a_silence_to_the_end_is_told_as_one() -> None:
    said = "vCPU 0 was silent for 17.0 s from +3.0 s after vmm-kill to the end of the watch"
    assert silent(paused(13.0)) == a_loss(f"{said}; 5.0 s is the limit", Check.SILENCE)


def test_a_silence_of_a_control_is_told_without_a_strike() -> None:
    e = paused(13.0, 20.0, disruption=Undisturbed())
    said = "vCPU 0 was silent for 6.9 s and then beat on; 5.0 s is the limit"
    assert silent(e) == a_loss(said, Check.SILENCE)
    said = "vCPU 0 was silent for 17.0 s to the end of the watch; 5.0 s is the limit"
    assert silent(paused(13.0, disruption=Undisturbed())) == a_loss(said, Check.SILENCE)


def test_a_silence_to_the_end_is_told_from_one_that_ended() -> None:
    said = []
    for back in (None, 20.0):
        found = silent(paused(13.0, back, disruption=Undisturbed()))
        assert found is not None
        said.append(re.sub(r"[0-9.]+", "", found.reason))
    assert said[0] != said[1]
    assert "None" not in said[0] + said[1]


def test_a_silence_that_began_before_is_not_of_the_disruption() -> None:
    said = "vCPU 0 was silent for 21.0 s from -1.0 s after vmm-kill to the end of the watch"
    assert silent(paused(9.0)) == no_proof(f"{said}: that began before", Check.EARLY)
    assert isinstance(silent(paused(9.95)), Lost)  # it had just beaten


def test_a_silence_that_came_later_is_none_of_before() -> None:
    """Whether it lived when it was struck is asked of silences that the strike is in."""
    beats = [*every(0.1, 0.0, 8.0), 10.5, *every(0.1, 10.6, 12.0)]
    e = evidence_of(trail_of(beats, LOOKS), search=NOWHERE)
    assert isinstance(silent(e), Lost)


def test_a_beat_after_a_look_at_the_strike_came_after_it() -> None:
    e = evidence_of(trail_of([*every(0.1, 0.0, 8.0), 10.05], LOOKS), search=NOWHERE)
    assert isinstance(silent(e), Lost)


@pytest.mark.parametrize(("void", "lost"), [(0.875, False), (0.75, True)])
def test_patience_is_what_may_be_left_of_a_silence(void: float, *, lost: bool) -> None:
    """All in fractions of two, so that the very bound is met: 5.875 s are silent."""
    beats = [*every(0.25, 0.0, 10.0), *every(0.25, 16.0, 30.0)]
    trail = trail_of(beats, every(0.125, 0.0, 30.0))
    e = evidence_of(trail, search=NOWHERE, voids=(Window(11.0, 11.0 + void),))
    assert isinstance(silent(e), Lost) is lost


@pytest.mark.parametrize(("void", "lost"), [(1.0, False), (0.8, True)])
def test_what_l0_stood_still_for_is_left_out(void: float, *, lost: bool) -> None:
    found = silent(paused(10.0, 16.0, voids=(Window(11.0, 11.0 + void),)))
    said = "vCPU 0 was silent for 5.9 s from +0.0 s after vmm-kill and then beat on"
    jitter = no_proof(f"{said}, and L0 itself stood still then", Check.JITTER)
    assert found == (a_loss(f"{said}; 5.0 s is the limit", Check.SILENCE) if lost else jitter)


def test_l0_standing_still_while_nothing_is_proven_excuses_nothing() -> None:
    assert isinstance(silent(paused(10.0, 16.0, voids=(Window(16.0, 20.0),))), Lost)


def test_a_stop_that_was_ordered_is_no_silence() -> None:
    stop = Stop(11.0, 12.0, "moved")
    assert silent(paused(10.0, 16.0, stops=(stop,))) is None
    found = silent(paused(10.0, 16.2, stops=(stop,)))
    said = "vCPU 0 was silent for 5.1 s from +0.0 s after vmm-kill and then beat on"
    assert found == a_loss(f"{said}; 5.0 s is the limit", Check.SILENCE)


def test_a_loss_of_one_vcpu_outweighs_the_doubt_of_another() -> None:
    early = trail_of(every(0.1, 0.0, 8.0), LOOKS)
    late = trail_of(every(0.1, 0.0, 12.0), LOOKS, vcpu=1)
    found = silent(evidence_of(early, late, search=NOWHERE))
    assert isinstance(found, Lost)
    assert numbers(found.reason)[0] == "1"


def test_of_two_doubts_the_first_is_told() -> None:
    first = trail_of(every(0.1, 0.0, 8.0), LOOKS)
    second = trail_of(every(0.1, 0.0, 7.0), LOOKS, vcpu=1)
    found = silent(evidence_of(first, second, search=NOWHERE))
    assert isinstance(found, Unproven)
    assert numbers(found.reason)[0] == "0"


WHAT = "vCPU 0 was silent for 20.0 s from +0.0 s after vmm-kill to the end of the watch"


def test_no_death_is_believed_without_a_search() -> None:
    said = no_proof(f"{WHAT}, and its host's memory was not searched for it", Check.SEARCH)
    assert silent(paused(10.0, search=None)) == said


def test_no_death_is_believed_after_half_a_search() -> None:
    said = no_proof(f"{WHAT}, and not all of its host's memory could be read", Check.SEARCH)
    assert silent(paused(10.0, search=Search((), (0x1000,), whole=False))) == said


def test_what_beats_elsewhere_is_not_dead() -> None:
    there = Search((Sighting(0, 0x2000, 9, beats=True),), (0x1000,), whole=False)
    what = f"{WHAT} on the page that was watched, and beats at 0x2000"
    assert silent(paused(10.0, search=there)) == no_proof(what, Check.ELSEWHERE)


@pytest.mark.parametrize(
    ("at", "moved"), [(10.0, False), (10.1, True), (16.0, True), (16.1, False)]
)
def test_a_page_that_was_left_is_silent_and_not_the_guest(at: float, *, moved: bool) -> None:
    e = paused(10.0, 16.0)
    e.trails[0].moves.append(at)
    said = "vCPU 0 beats on another page than was watched for 6.1 s before"
    wanted = no_proof(f"{said}: what was silent was a page, and not the guest", Check.PAGE)
    found = silent(e)
    assert (found == wanted) is moved
    assert isinstance(found, Lost) is not moved


def test_a_page_on_which_it_never_beat_proves_no_death() -> None:
    e = paused(10.0)
    e.trails[0].moves.append(12.0)
    said = "vCPU 0 never beat on the page that was watched in the end"
    assert silent(e) == no_proof(said, Check.PAGE)


def gap(back: float, gone: float = 12.0, *, behind: float = 0.0, **more: Any) -> Evidence:
    """Return evidence of a guest whose clock steps from `gone` to `back`, and is read `behind`."""
    beats = [*every(0.1, 0.0, gone), *every(0.1, back, 30.0)]
    return evidence_of(trail_of(beats, every(0.1, behind, 30.0)), **more)


@pytest.mark.parametrize(("back", "lost"), [(17.0, False), (17.1, True)])
def test_a_step_of_its_own_clock_beyond_patience_is_a_loss(back: float, *, lost: bool) -> None:
    said = a_loss("vCPU 0 was silent for 5.1 s of its own clock; 5.0 s is the limit",
                Check.GUEST_SILENCE)  # fmt: skip
    assert guest_silent(gap(back)) == (said if lost else None)


def test_a_step_of_its_own_clock_before_the_strike_is_not_of_it() -> None:
    said = no_proof(
        "vCPU 0 was silent for 6.0 s of its own clock before the disruption", Check.EARLY
    )
    assert guest_silent(gap(9.0, 3.0)) == said
    assert isinstance(guest_silent(gap(10.0, 3.0)), Lost)


@pytest.mark.parametrize(("void", "lost"), [(1.0, False), (0.9, True)])
def test_its_own_clock_steps_while_l0_stands_still(void: float, *, lost: bool) -> None:
    e = gap(18.0, voids=(Window(12.0, 12.0 + void),))
    said = "vCPU 0 was silent for 6.0 s of its own clock"
    jitter = no_proof(f"{said}, and L0 itself stood still then", Check.JITTER)
    found = a_loss(f"{said}; 5.0 s is the limit", Check.GUEST_SILENCE)
    assert guest_silent(e) == (found if lost else jitter)
    before = gap(18.0, voids=(Window(10.0, 12.0),))
    assert guest_silent(before) == found


def test_its_own_clock_may_step_in_a_stop() -> None:
    assert guest_silent(gap(18.0, stops=(Stop(13.0, 14.0, "moved"),))) is None
    found = guest_silent(gap(18.0, stops=(Stop(13.0, 13.9, "moved"),)))
    assert isinstance(found, Lost)
    assert numbers(found.reason) == ["0", "5.1", "5.0"]


def test_each_vcpus_own_clock_is_asked_for() -> None:
    trail = gap(18.0).trails[0]
    trail.vcpu = 1
    found = guest_silent(evidence_of(steady(), trail))
    assert found is not None
    assert numbers(found.reason)[0] == "1"


@pytest.mark.parametrize(("last", "told"), [(29.1, False), (28.8, True)])
def test_a_silence_at_the_end_leaves_open_whether_it_lives(last: float, *, told: bool) -> None:
    # A beat that was seen at 28.8 came after the look at 28.7: 1.2 s may be silent.
    e = evidence_of(trail_of(every(0.1, 0.0, last), LOOKS), end=29.9)
    said = no_proof("vCPU 0 was silent for the last 1.2 s: watch on to know", Check.END)
    assert ending(e) == (said if told else None)


@pytest.mark.parametrize(
    ("more", "blind", "check"),
    [
        ({}, None, Check.EYE),
        ({"voids": (Window(11.0, 11.4),)}, None, Check.EYE),
        ({"voids": (Window(11.0, 11.5),)}, None, Check.JITTER),
        ({"voids": (Window(8.0, 9.9),)}, None, Check.EYE),
        ({"voids": (Window(11.0, 12.0),)}, Blind(11.0, 12.0, "no"), Check.EYE),
        ({"voids": (Window(11.0, 12.0),)}, Blind(11.0, None, "no"), Check.EYE),
        ({"voids": (Window(11.0, 12.0),)}, Blind(8.0, 9.9, "no"), Check.JITTER),
        ({"voids": (Window(11.0, 12.0),)}, Blind(29.0, None, "no"), Check.JITTER),
    ],
)
def test_what_nobody_saw_may_have_been_too_long(
    more: dict[str, Any], blind: Blind | None, check: Check
) -> None:
    looks = [*every(0.1, 0.0, 10.0), *every(0.1, 15.4, 30.0)]
    e = evidence_of(trail_of(every(0.1, 0.0, 30.0), looks), **more)
    if blind:
        e.trails[0].blinds.append(blind)
    said = "vCPU 0 may have been silent for 5.5 s: too few looks to tell"
    assert ending(e) == no_proof(said, check)


def test_what_nobody_saw_for_less_than_patience_is_a_pause() -> None:
    looks = [*every(0.1, 0.0, 10.0), *every(0.1, 14.9, 30.0)]
    assert ending(evidence_of(trail_of(every(0.1, 0.0, 30.0), looks))) is None


def test_what_was_stopped_was_not_silent_in_the_end() -> None:
    e = paused(28.0, stops=(Stop(28.0, 29.5, "parked"),))
    assert ending(e) is None
