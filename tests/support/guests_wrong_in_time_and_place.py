# SPDX-License-Identifier: Apache-2.0
"""A guest whose clock, pace, copies or resumption are wrong: what was seen of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lab.observe.identity import Happened
from lab.observe.window import Window
from lab.testing.simulated_guest import Rehearsal
from lab.verdict.evidence import Evidence, GuestClock, ParkedClaim, Stop, Tally
from tests.support.guests_that_live_or_die import dies_at_once, lives_on

SECOND = 1_000_000_000


def has_its_clock_stand_still(r: Rehearsal) -> Evidence:
    return beats_by_another_clock(r, 0.0)


def has_its_clock_run_at_a_hundredth(r: Rehearsal) -> Evidence:
    return beats_by_another_clock(r, 0.01)


def beats_by_another_clock(r: Rehearsal, rate: float) -> Evidence:
    """Beat on as often as before, and say of each beat that hardly any time went by."""
    struck = r.now()
    began, ns = r.guest.now, r.guest.guest_ns
    r.guest.freeze()
    while r.guest.now < began + 8:
        r.guest.advance(r.step_s)
        for _ in range(5):
            r.guest.beat(0, ns + round((r.guest.now - began) * rate * SECOND))
        r.guest.publish(0)
        r.eye.look()
    return r.evidence(struck)


def had_a_fast_clock_before(r: Rehearsal) -> Evidence:
    r.guest.clock_rate = 1.5
    began = r.guest.now
    r.watch(3)
    r.baseline = Window(began, r.guest.now)
    return lives_on(r)


def has_a_clock_that_is_a_little_fast(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.guest.clock_rate = 1.08
    r.watch(8)
    return r.evidence(struck)


def has_a_fast_clock(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.guest.clock_rate = 1.3
    r.watch(8)
    return r.evidence(struck)


def has_its_clock_step(seconds: float, stopped_s: float = 2.0) -> Callable[[Rehearsal], Evidence]:
    """Be stopped by the lab for a while, and have the clock step when it goes on."""

    def has_its_clock_step_at_resumption(r: Rehearsal) -> Evidence:
        struck = r.now()
        r.guest.freeze()
        r.watch(stopped_s)
        until = r.guest.now
        shift(r, seconds)
        r.guest.thaw()
        r.watch(8)
        stop = Stop(struck.at, until, "parked")
        return replace(r.evidence(struck), stops=(stop,))

    return has_its_clock_step_at_resumption


def shift(r: Rehearsal, seconds: float) -> None:
    ns = round(seconds * SECOND)
    r.guest.guest_ns += ns
    for vcpu in r.guest.vcpus:
        vcpu.due_ns += ns


def had_its_clock_step_before(r: Rehearsal) -> Evidence:
    shift(r, 1.0)
    r.watch(0.3)
    return lives_on(r)


def beats_at_a_hundredth_of_its_pace(r: Rehearsal) -> Evidence:
    struck = r.now()
    slow_down(r)
    r.watch(8.3)
    return r.evidence(struck)


def beats_at_a_hundredth_of_its_pace_in_the_end(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.watch(4.5)
    slow_down(r)
    r.watch(6.3)
    return r.evidence(struck)


def slow_down(r: Rehearsal) -> None:
    for vcpu in r.guest.vcpus:
        vcpu.page = replace(vcpu.page, period_ns=SECOND)


def stood_still(r: Rehearsal) -> Evidence:
    """Stand still for longer than patience, and go on."""
    began = r.guest.now
    r.guest.freeze()
    r.watch(7)
    until = r.guest.now
    r.guest.thaw()
    r.watch(8)
    e = r.evidence(Happened("kexec", began, began + 3))
    return replace(e, stops=(Stop(began, until, "parked"),))


def is_stopped_and_silent_for_too_long_after(r: Rehearsal) -> Evidence:
    e = dies_at_once(r)
    r.watch(4)
    r.guest.thaw()
    r.watch(8)
    again = r.evidence(e.disruption)
    return replace(again, stops=(Stop(e.struck, e.struck + 2, "parked"),))


def is_stopped_for_no_reason(r: Rehearsal) -> Evidence:
    e = stood_still(r)
    return replace(e, stops=(replace(e.stops[0], why=""),))


def is_stopped_in_its_baseline(r: Rehearsal) -> Evidence:
    e = stood_still(r)
    return replace(e, stops=(replace(e.stops[0], began=e.baseline.ended - 1),))


def is_stopped_to_the_end(r: Rehearsal) -> Evidence:
    e = dies_at_once(r)
    return replace(e, stops=(Stop(e.struck, e.end, "parked"),))


def is_stopped_with_its_clock(r: Rehearsal, clock: GuestClock) -> Evidence:
    began = r.guest.now
    r.guest.clock_runs = False
    r.watch(4)
    r.guest.clock_runs = True
    until = r.guest.now
    r.watch(8)
    e = r.evidence(Happened("kexec", began, began + 3))
    return replace(e, stops=(Stop(began, until, "restored", clock),))


def is_restored_with_a_clock_that_stood(r: Rehearsal) -> Evidence:
    return is_stopped_with_its_clock(r, GuestClock.STANDS)


def is_restored_with_a_clock_that_may_have_stood(r: Rehearsal) -> Evidence:
    return is_stopped_with_its_clock(r, GuestClock.EITHER)


def is_restored_with_a_clock_that_should_have_run(r: Rehearsal) -> Evidence:
    return is_stopped_with_its_clock(r, GuestClock.RUNS)


def is_rewound_out_of_sight(r: Rehearsal) -> Evidence:
    """Be rewound by 2 s in 3.7 s in which nobody looks: it is ahead again when it is seen."""
    struck = r.now()
    r.guest.readable = False
    r.guest.advance(0.2)
    old = r.guest.snapshot()
    r.guest.advance(2)
    r.guest.rewind(old)
    r.watch(1.5)
    r.guest.readable = True
    r.watch(8)
    return r.evidence(struck)


def may_be_rewound_while_l0_stands_still(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.guest.freeze()
    began = r.guest.now
    r.guest.advance(1.5)
    until = r.guest.now
    r.guest.thaw()
    r.watch(8)
    return replace(r.evidence(struck), voids=(Window(began, until),))


def is_looked_away_from_while_it_pauses(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.guest.freeze()
    r.guest.advance(1.5)
    r.guest.thaw()
    r.watch(8)
    return r.evidence(struck)


def counts_faults_and_is_parked(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.guest.vcpus[0].page = replace(r.guest.vcpus[0].page, faults=1)
    r.watch(0.2)
    r.guest.freeze()
    r.watch(8)
    return replace(r.evidence(struck), parked=ParkedClaim("held"))


def had_its_clock_set_back_and_is_parked(r: Rehearsal) -> Evidence:
    struck = r.now()
    shift(r, -2.0)
    r.watch(0.2)
    r.guest.freeze()
    r.watch(8)
    return replace(r.evidence(struck), parked=ParkedClaim("held"))


def counted_faults_from_the_first_look_on(r: Rehearsal) -> Evidence:
    r.guest.vcpus[0].page = replace(r.guest.vcpus[0].page, faults=1)
    r.start()
    return lives_on(r)


def was_wrong_before_its_baseline(r: Rehearsal) -> Evidence:
    r.guest.break_chain(0)
    r.watch(1)
    r.baseline = Window(r.guest.now, r.guest.now + 3)
    r.watch(3.1)
    return lives_on(r)


def died_a_moment_before(r: Rehearsal) -> Evidence:
    """Beat each millisecond, and die 0.9 s before it is struck."""
    r.guest.freeze()
    r.watch(0.9)
    return dies_at_once(r)


def died_a_moment_before_and_beat_fast(r: Rehearsal) -> Evidence:
    """Beat each millisecond, and die 0.2 s before it is struck."""
    r.guest.freeze()
    r.watch(0.2)
    return dies_at_once(r)


def died_between_two_looks_before_it_was_struck(r: Rehearsal) -> Evidence:
    r.guest.readable = False
    r.watch(0.2)
    r.guest.freeze()
    r.watch(0.5)
    struck = r.now()
    r.guest.readable = True
    r.watch(8)
    return r.evidence(struck)


def was_not_looked_at_when_it_was_struck(r: Rehearsal) -> Evidence:
    r.guest.readable = False
    r.watch(0.7)
    struck = r.now()
    r.guest.readable = True
    r.guest.freeze()
    r.watch(8)
    return r.evidence(struck)


def dies_while_it_is_handed_over(r: Rehearsal) -> Evidence:
    handed = r.guest.now
    r.guest.freeze()
    r.watch(2)
    return replace(dies_at_once(r), handed=handed)


def was_handed_over_in_its_baseline(r: Rehearsal) -> Evidence:
    return replace(lives_on(r), handed=r.baseline.began)


def is_kexecd_once_of_a_hundred_times(r: Rehearsal) -> Evidence:
    return replace(lives_on(r), tallies=(Tally("kexecs", 100, 1),))


def is_kexecd_as_often_as_was_wanted(r: Rehearsal) -> Evidence:
    return replace(lives_on(r), tallies=(Tally("kexecs", 100, 100), Tally("kills", 1, 1)))
