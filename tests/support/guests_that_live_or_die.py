# SPDX-License-Identifier: Apache-2.0
"""A guest that lives, dies, or is another than it was: what the eye and its host saw of it."""

from __future__ import annotations

from dataclasses import replace

from lab.observe.identity import Happened, Undisturbed
from lab.observe.window import Window
from lab.testing.simulated_guest import Rehearsal
from lab.verdict.evidence import Evidence

OTHER_BOOT = bytes(16)


def lives_on(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.watch(8)
    return r.evidence(struck)


def left_alone(r: Rehearsal) -> Evidence:
    r.watch(8)
    return r.evidence(Undisturbed())


def pauses(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.guest.freeze()
    r.watch(4)
    r.guest.thaw()
    r.watch(8)
    return r.evidence(struck)


def freezes_and_resumes(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.watch(2)
    r.guest.freeze()
    r.watch(6)
    r.guest.thaw()
    r.watch(8)
    return r.evidence(struck)


def freezes_and_resumes_undisturbed(r: Rehearsal) -> Evidence:
    return replace(freezes_and_resumes(r), disruption=Undisturbed())


def freezes_with_its_clock_stopped(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.guest.clock_runs = False
    r.watch(6)
    r.guest.clock_runs = True
    r.watch(8)
    return r.evidence(struck)


def one_vcpu_freezes_and_resumes(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.guest.freeze(1)
    r.watch(6)
    r.guest.thaw()
    r.watch(8)
    return r.evidence(struck)


def dies_at_once(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.guest.freeze()
    r.watch(8)
    return r.evidence(struck)


def dies_in_the_middle_of_a_beat(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.guest.tear(0)
    r.watch(8)
    return r.evidence(struck)


def dies_later(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.watch(4)
    r.guest.freeze()
    r.watch(8)
    return r.evidence(struck)


def one_vcpu_dies(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.guest.freeze(2)
    r.watch(8)
    return r.evidence(struck)


def dies_shortly_before_the_end(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.watch(8)
    r.guest.freeze()
    r.watch(3)
    return r.evidence(struck)


def dies_in_a_watch_that_is_too_short(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.guest.freeze()
    r.watch(4)
    return r.evidence(struck)


def dies_when_a_long_disruption_is_done(r: Rehearsal) -> Evidence:
    at = r.guest.now
    r.watch(20)
    done = r.guest.now
    r.guest.freeze()
    r.watch(4.5)
    return r.evidence(Happened("kexec", at, done))


def was_dead_before(r: Rehearsal) -> Evidence:
    r.guest.freeze()
    r.watch(3)
    struck = r.now()
    r.watch(8)
    return r.evidence(struck)


def never_beat(r: Rehearsal) -> Evidence:
    r.guest.freeze()
    r.baseline = Window(r.guest.now + 0.1, r.guest.now + 1)
    r.watch(2)
    struck = r.now()
    r.watch(8)
    return r.evidence(struck)


def restarts(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.watch(1)
    r.guest.restart(OTHER_BOOT)
    r.watch(8)
    return r.evidence(struck)


def restarts_and_is_ahead(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.guest.restart(OTHER_BOOT)
    r.guest.advance(10)
    r.watch(8)
    return r.evidence(struck)


def restarts_before_the_disruption(r: Rehearsal) -> Evidence:
    r.guest.restart(OTHER_BOOT)
    r.watch(1)
    return lives_on(r)


def is_rewound(r: Rehearsal) -> Evidence:
    old = r.guest.snapshot()
    r.watch(1)
    struck = r.now()
    r.guest.rewind(old)
    r.watch(8)
    return r.evidence(struck)


def is_rewound_and_ahead_at_the_next_look(r: Rehearsal) -> Evidence:
    old = r.guest.snapshot()
    r.watch(0.2)
    struck = r.now()
    r.guest.rewind(old)
    r.guest.advance(0.003)  # beats fall on other instants than before
    r.guest.advance(0.6)
    r.watch(8)
    return r.evidence(struck)


def breaks_its_chain(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.watch(1)
    r.guest.break_chain(0)
    r.watch(8)
    return r.evidence(struck)


def changes_its_canary(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.guest.change_canary(0)
    r.watch(8)
    return r.evidence(struck)


def has_its_canary_forged_without_the_key(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.guest.freeze()
    r.watch(0.2)
    for _ in range(160):
        r.guest.beat(0, r.guest.guest_ns)
        r.guest.publish(0, key=bytes(16))
        r.watch(0.05)
    return r.evidence(struck)


def has_its_clock_set_back(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.guest.guest_ns -= 2_000_000_000
    r.guest.vcpus[0].due_ns -= 2_000_000_000
    r.watch(8)
    return r.evidence(struck)


def counts_faults(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.guest.vcpus[0].page = replace(r.guest.vcpus[0].page, faults=1)
    r.watch(8)
    return r.evidence(struck)


def has_its_clock_jump(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.guest.guest_ns += 9_000_000_000
    r.guest.vcpus[0].due_ns += 9_000_000_000
    r.watch(8)
    return r.evidence(struck)


def hides_a_gap(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.watch(1)
    page = r.guest.vcpus[0].page
    r.guest.vcpus[0].page = replace(page, max_gap_ns=4_000_000_000)
    r.watch(8)
    return r.evidence(struck)


def shows_a_gap_that_it_does_not_count(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.guest.freeze()
    r.watch(2)
    r.guest.thaw()
    r.watch(1)
    r.guest.vcpus[0].page = replace(r.guest.vcpus[0].page, max_gap_ns=1_000_000_000)
    r.watch(8)
    return r.evidence(struck)
