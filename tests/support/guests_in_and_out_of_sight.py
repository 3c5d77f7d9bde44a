# SPDX-License-Identifier: Apache-2.0
"""A guest that is moved, parked, out of sight, or whose host is: what was seen of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lab.observe.identity import Undisturbed
from lab.observe.window import Window
from lab.testing.simulated_guest import Rehearsal
from lab.verdict.evidence import Evidence, HostDeath, ParkedClaim
from tests.support.guests_that_live_or_die import (
    dies_at_once,
    has_its_clock_jump,
    lives_on,
    one_vcpu_dies,
    restarts,
)

ELSEWHERE = 0x80_0000


def is_looked_at_too_rarely(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.guest.advance(3)
    r.watch(8)
    return r.evidence(struck)


def is_not_looked_at_in_the_end(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.watch(8)
    r.guest.advance(3)
    return r.evidence(struck)


def is_out_of_sight_for_longer_than_patience(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.guest.readable = False
    r.watch(6)
    r.guest.readable = True
    r.watch(8)
    return r.evidence(struck)


def is_silent_before_its_clock_jumps(r: Rehearsal) -> Evidence:
    r.guest.guest_ns += 9_000_000_000
    r.guest.vcpus[0].due_ns += 9_000_000_000
    r.watch(1)
    return lives_on(r)


def has_its_clock_jump_while_l0_stands_still(r: Rehearsal) -> Evidence:
    e = has_its_clock_jump(r)
    return replace(e, voids=(Window(e.struck - 9, e.struck + 1),))


def was_already_silent_when_its_host_died(r: Rehearsal) -> Evidence:
    r.guest.freeze()
    r.watch(3)
    return loses_its_host(r)


def loses_its_host_undisturbed_and_long_out_of_sight(r: Rehearsal) -> Evidence:
    e = cannot_be_read(r)
    return replace(e, disruption=Undisturbed(), host_death=HostDeath(e.end - 1, "shut off"))


def dies_and_its_host_later(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.guest.freeze()
    r.watch(3)
    r.guest.readable = False
    r.watch(6)
    return replace(r.evidence(struck), host_death=HostDeath(struck.at + 3, "shut off"))


def has_a_canary_changed_and_changed_back(r: Rehearsal) -> Evidence:
    struck = r.now()
    old = r.guest.vcpus[0].page.canary
    r.guest.change_canary(0)
    r.watch(1)
    r.guest.vcpus[0].page = replace(r.guest.vcpus[0].page, canary=old)
    r.watch(8)
    return r.evidence(struck)


def vanishes(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.guest.freeze()
    r.guest.wipe(0)
    r.watch(8)
    return r.evidence(struck)


def vanishes_and_is_nowhere(r: Rehearsal) -> Evidence:
    return replace(vanishes(r), nowhere=True)


def was_silent_and_is_nowhere(r: Rehearsal) -> Evidence:
    r.guest.freeze()
    r.watch(2)
    return vanishes_and_is_nowhere(r)


def lives_and_is_said_to_be_nowhere(r: Rehearsal) -> Evidence:
    return replace(lives_on(r), nowhere=True)


def cannot_be_read(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.guest.readable = False
    r.watch(8)
    return r.evidence(struck)


def cannot_be_read_for_a_moment(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.guest.readable = False
    r.watch(1.5)
    r.guest.readable = True
    r.watch(8)
    return r.evidence(struck)


def has_another_vcpus_page(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.eye.relocate({0: r.guest.pages[1], 1: r.guest.pages[0]})
    r.watch(8)
    return r.evidence(struck)


def loses_its_host(r: Rehearsal) -> Evidence:
    r.watch(0.1)
    e = cannot_be_read(r)
    return replace(e, host_death=HostDeath(e.struck, "it was reset"))


def loses_its_host_before(r: Rehearsal) -> Evidence:
    e = cannot_be_read(r)
    return replace(e, host_death=HostDeath(e.struck - 0.5, "it was reset"))


def outlives_its_host_kernel(r: Rehearsal) -> Evidence:
    e = lives_on(r)
    return replace(e, host_death=HostDeath(e.struck + 1, "it panicked"))


def moves_and_is_found(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.guest.move(0, ELSEWHERE)
    r.watch(1)
    r.eye.relocate({0: ELSEWHERE})
    r.watch(8)
    return r.evidence(struck)


def moves_and_a_stale_copy_is_found(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.guest.memory[ELSEWHERE] = bytearray(r.guest.memory[r.guest.pages[0]])
    r.watch(1)
    r.eye.relocate({0: ELSEWHERE})
    r.watch(8)
    return r.evidence(struck)


def moves_and_the_newest_copy_is_stale(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.guest.freeze()
    r.watch(0.2)
    r.guest.memory[ELSEWHERE] = bytearray(r.guest.memory[r.guest.pages[0]])
    r.eye.relocate({0: ELSEWHERE})
    r.watch(8)
    return r.evidence(struck)


def moves_and_is_found_rewound(r: Rehearsal) -> Evidence:
    old = r.guest.snapshot()
    r.watch(1.0)
    struck = r.now()
    r.watch(0.1)
    r.guest.rewind(old)
    r.guest.move(0, ELSEWHERE)
    r.eye.relocate({0: ELSEWHERE})
    r.watch(0.5)
    r.watch(8)
    return r.evidence(struck)


def is_parked(r: Rehearsal) -> Evidence:
    return replace(dies_at_once(r), parked=ParkedClaim("unhandled exit 0x7b"))


def is_said_to_be_parked_and_beats(r: Rehearsal) -> Evidence:
    return replace(lives_on(r), parked=ParkedClaim("unhandled exit 0x7b"))


def is_said_to_be_parked_on_all_vcpus(r: Rehearsal) -> Evidence:
    return replace(one_vcpu_dies(r), parked=ParkedClaim("unhandled exit 0x7b"))


def is_said_to_be_parked_out_of_sight(r: Rehearsal) -> Evidence:
    return replace(cannot_be_read(r), parked=ParkedClaim("unhandled exit 0x7b"))


def is_said_to_be_parked_after_a_restart(r: Rehearsal) -> Evidence:
    return replace(restarts(r), parked=ParkedClaim("unhandled exit 0x7b"))


def dies_while_l0_stands_still(r: Rehearsal) -> Evidence:
    e = pauses_for_six(r)
    return replace(e, voids=(Window(e.struck + 1, e.struck + 4),))


def pauses_for_six(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.guest.freeze()
    r.watch(6)
    r.guest.thaw()
    r.watch(8)
    return r.evidence(struck)


def dies_and_l0_jitters(r: Rehearsal) -> Evidence:
    e = dies_at_once(r)
    return replace(e, voids=(Window(e.struck + 1, e.struck + 1.1),))


def lives_on_and_l0_jitters(r: Rehearsal) -> Evidence:
    e = lives_on(r)
    return replace(e, voids=(Window(e.struck + 1, e.struck + 1.1),))


def is_parked_in_a_beat_as(change: str) -> Callable[[Rehearsal], Evidence]:
    """Be another guest when it is parked, and be stopped in the middle of a beat."""

    def is_parked_in_the_middle_of_another_guests_beat(r: Rehearsal) -> Evidence:
        struck = r.now()
        if change == "canary":
            r.guest.change_canary(0)
        else:
            r.guest.restart(bytes(16))
        r.guest.tear(0)
        r.watch(8)
        return replace(r.evidence(struck), parked=ParkedClaim("held"))

    return is_parked_in_the_middle_of_another_guests_beat
