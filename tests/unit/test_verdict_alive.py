# SPDX-License-Identifier: Apache-2.0
"""Whether a vCPU was alive when it was struck, to the very bound of what its own pace allows."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from lab.observe.identity import Happened, Undisturbed
from lab.observe.trail import Anomaly, Kind, Trail
from lab.verdict.alive import IDENTITY, early, lived_at, silent_before
from lab.verdict.evidence import Limits
from lab.verdict.verdict import Check
from tests.support.made_trails import AHEAD_S, every, evidence_of, trail_of
from tests.support.told import no_proof


def silent(trail: Trail, at: float, *, live: float = 1.0) -> bool:
    e = evidence_of(trail, limits=Limits(patience=5.0, live=live))
    return silent_before(e, trail, at)


def stops_at(last: float, step: float = 0.01, *, looks: float = 0.02) -> Trail:
    """Return the trail of a vCPU that beats no more, looked at on and on."""
    return trail_of(every(step, 0.0, last), every(looks, 0.0, 30.0))


@pytest.mark.parametrize(
    ("last", "at", "dead"), [(9.95, 10.0, False), (9.9, 10.0, False), (9.86, 10.0, True)]
)
def test_a_fast_guest_lives_a_tenth_of_a_second_after_its_beat(
    last: float, at: float, *, dead: bool
) -> None:
    assert silent(stops_at(last), at) is dead


@pytest.mark.parametrize(("last", "dead"), [(9.55, False), (9.25, False), (9.05, True)])
def test_a_slow_guest_lives_twice_its_longest_gap(last: float, *, dead: bool) -> None:
    beats = [*every(0.4, 0.0, 6.0), *every(0.1, 6.05, last)]
    assert silent(trail_of(beats, every(0.1, 0.0, 30.0)), 10.0) is dead


def test_what_was_never_seen_to_beat_was_silent() -> None:
    assert silent(trail_of([], every(0.5, 0.0, 30.0)), 10.0)


@pytest.mark.parametrize(("live", "dead"), [(1.0, False), (0.7, False), (0.5, True)])
def test_no_guest_was_seen_alive_longer_ago_than_the_limit(live: float, *, dead: bool) -> None:
    looks = [*every(0.4, 0.0, 9.6), 11.0]  # at 10.2 nobody has looked for 0.6 s
    assert silent(trail_of(every(0.01, 0.0, 9.6), looks), 10.2, live=live) is dead


@pytest.mark.parametrize(("at", "dead"), [(9.9, False), (11.1, False), (11.3, True)])
def test_no_guest_may_be_out_of_sight_longer_than_twice_before(at: float, *, dead: bool) -> None:
    looks = [*every(0.4, 0.0, 9.6), 20.0]  # a beat may have been the last for 0.8 s
    assert silent(trail_of(every(0.01, 0.0, 9.6), looks), at, live=5.0) is dead


def test_a_guest_that_is_always_in_sight_may_be_unseen_for_a_tenth() -> None:
    looks = [*every(0.02, 0.0, 9.9), 20.0]
    beats = every(0.01, 0.0, 9.9)
    assert not silent(trail_of(beats, looks), 9.98)
    assert silent(trail_of(beats, looks), 10.02)


def test_a_beat_seen_after_the_strike_tells_when_it_came() -> None:
    # The looks at 9.9 and 10.4 have the strike between them: stamps say that beats came by 10.0.
    looks = [*every(0.1, 0.0, 9.9), *every(0.1, 10.4, 30.0)]
    assert not silent(trail_of(every(0.01, 0.0, 9.99), looks), 10.0)
    assert not silent(trail_of([*every(0.01, 0.0, 9.8), 9.91], looks), 10.0)
    assert silent(trail_of([*every(0.01, 0.0, 9.8), 9.91], looks), 10.2)


def test_what_was_first_looked_at_after_the_strike_was_not_seen_alive() -> None:
    assert silent(trail_of(every(0.01, 0.0, 30.0), every(0.5, 10.5, 30.0)), 10.0)


def test_one_look_before_the_strike_tells_of_the_beats_between() -> None:
    assert not silent(trail_of([9.0, 9.99], [9.0, 10.5]), 10.0)
    assert silent(trail_of([9.0, 9.25], [9.0, 10.5]), 10.0)


def test_what_beats_much_later_was_not_alive_between() -> None:
    beats = [*every(0.01, 0.0, 9.8), 9.91, *every(0.01, 20.0, 30.0)]
    looks = [*every(0.1, 0.0, 9.9), *every(0.1, 10.4, 30.0)]
    assert silent(trail_of(beats, looks), 10.2)
    assert not silent(trail_of(beats, looks), 9.95)


@pytest.mark.parametrize(("at", "dead"), [(9.5, False), (9.625, True)])
def test_twice_its_longest_gap_is_still_alive(at: float, *, dead: bool) -> None:
    """All in fractions of two, so that the very bound is met."""
    beats = every(0.25, 0.0, 9.0)
    seen = trail_of(beats, every(0.125, 0.0, 30.0))  # silent, and seen to be
    assert silent(seen, at) is dead
    between = trail_of([*beats, 9.0625], [*every(0.25, 0.0, 9.0), 10.5])
    assert not silent(between, 9.5625)
    assert silent(between, 9.625)


@pytest.mark.parametrize(("live", "dead"), [(0.5, False), (0.25, True)])
def test_the_limit_of_what_is_alive_is_alive(live: float, *, dead: bool) -> None:
    trail = trail_of(every(0.25, 0.0, 9.0), every(0.125, 0.0, 9.0))
    assert silent(trail, 9.5, live=live) is dead


def test_a_look_that_began_at_the_strike_is_of_before() -> None:
    """A beat after a look that began when it was struck came after it."""
    looks = [*every(0.25, 0.0, 10.0), 10.5]
    trail = trail_of([*every(0.25, 0.0, 9.0), 10.25], looks)
    assert silent(trail, 10.0)


def test_a_beat_after_the_strike_is_no_death_before() -> None:
    looks = [*every(0.1, 0.0, 9.9), *every(0.1, 10.4, 30.0)]
    assert not silent(trail_of([*every(0.01, 0.0, 9.9), 10.3], looks), 10.0)


@pytest.mark.parametrize("shift", [0.0, 5.0, -3.0])
def test_by_how_much_the_guests_clock_is_ahead_makes_no_odds(shift: float) -> None:
    looks = [*every(0.1, 0.0, 9.9), *every(0.1, 10.4, 30.0)]
    beats = [*every(0.01, 0.0, 9.9), 9.95]
    stamps = [at + AHEAD_S + shift for at in beats]
    trail = trail_of(beats, looks, stamps=stamps)
    assert not silent(trail, 10.0)
    assert silent(trail, 10.2)


def test_when_beats_are_seen_late_their_own_clock_counts() -> None:
    """A look may come long after its beats: the least late one of before says how late."""
    looks = [0.05, 1.4, 2.9, 4.0, *every(0.1, 5.0, 9.9), 10.4]
    beats = [*every(0.01, 0.0, 9.9), 9.92]
    assert not silent(trail_of(beats, looks), 10.0)
    assert silent(trail_of(beats, looks), 10.1)


@pytest.mark.parametrize(
    ("beats", "lived"),
    [
        ([*every(0.01, 0.0, 10.0)], True),
        ([*every(0.01, 0.0, 9.0)], False),
        ([*every(0.01, 0.0, 9.0), 12.0], True),  # whatever it did, it was there afterwards
        ([*every(0.01, 0.0, 9.0), 10.01], True),
    ],
)
def test_what_beats_after_the_strike_was_alive(beats: Sequence[float], *, lived: bool) -> None:
    trail = trail_of(beats, every(0.02, 0.0, 30.0))
    assert lived_at(evidence_of(trail), trail, 10.0) is lived


def test_a_beat_after_the_watch_is_not_known() -> None:
    trail = trail_of([*every(0.01, 0.0, 9.0), 29.0], every(0.02, 0.0, 30.0))
    assert lived_at(evidence_of(trail), trail, 10.0)
    assert not lived_at(evidence_of(trail, end=28.0), trail, 10.0)


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize(("at", "mine"), [(12.5, True), (12.0, False), (11.0, False)])
def test_what_beats_from_its_change_of_identity_on_is_another(
    kind: Kind, at: float, *, mine: bool
) -> None:
    trail = trail_of([*every(0.01, 0.0, 9.0), 12.0, 13.0], every(0.02, 0.0, 30.0))
    trail.anomalies += [Anomaly(kind, at, ""), Anomaly(kind, at + 5, "")]
    lived = lived_at(evidence_of(trail), trail, 10.0)
    assert lived is (mine or kind not in IDENTITY)


def test_identity_is_canary_boot_order_and_chain() -> None:
    assert {Kind.CANARY, Kind.RESTART, Kind.REWIND, Kind.CHAIN} == IDENTITY


def test_only_a_strike_can_come_too_late() -> None:
    dead = stops_at(9.0)
    said = no_proof("vCPU 0 was not seen alive when it was struck", Check.EARLY)
    struck = evidence_of(dead)
    assert early(struck, "vCPU 0", dead) == said
    assert early(evidence_of(dead, disruption=Undisturbed()), "vCPU 0", dead) is None
    alive = stops_at(10.0)
    assert early(evidence_of(alive), "vCPU 0", alive) is None


def test_it_must_have_lived_when_it_was_first_touched() -> None:
    dead = stops_at(9.7)
    assert early(evidence_of(dead), "vCPU 0", dead) is not None
    assert early(evidence_of(dead, handed=9.75), "vCPU 0", dead) is None
    later = Happened("kexec", 9.75, 12.0)
    assert early(evidence_of(dead, disruption=later), "vCPU 0", dead) is None
