# SPDX-License-Identifier: Apache-2.0
"""What is said of a guest: that it was struck, how many vCPUs it has, digests of its memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lab.observe.identity import DidNot, Happened
from lab.observe.window import Window
from lab.testing.simulated_guest import Rehearsal
from lab.verdict.evidence import Evidence, Interference, Limits, MemoryWitness
from lab.verdict.verdict import Scope
from tests.support.guests_that_live_or_die import (
    dies_at_once,
    dies_in_a_watch_that_is_too_short,
    has_its_clock_jump,
    left_alone,
    lives_on,
    never_beat,
    restarts,
)

OTHER_BOOT = bytes(16)


def was_not_struck(r: Rehearsal) -> Evidence:
    return replace(lives_on(r), disruption=DidNot("process 7 is still there"))


def has_no_witness_of_its_disruption(r: Rehearsal) -> Evidence:
    return replace(lives_on(r), disruption=None)


def was_struck_before_the_watch(r: Rehearsal) -> Evidence:
    e = lives_on(r)
    at = e.baseline.began - 1
    return replace(e, disruption=Happened("vmm-kill", at, at))


def was_struck_after_the_watch(r: Rehearsal) -> Evidence:
    e = lives_on(r)
    return replace(e, disruption=Happened("vmm-kill", e.end - 1, e.end + 1))


def has_a_vcpu_that_nobody_watched(r: Rehearsal) -> Evidence:
    return replace(lives_on(r), expected_vcpus=2)


def has_no_vcpu(r: Rehearsal) -> Evidence:
    return replace(lives_on(r), expected_vcpus=0, trails={})


def has_its_trails_swapped(r: Rehearsal) -> Evidence:
    e = lives_on(r)
    return replace(e, trails={0: e.trails[1], 1: e.trails[0]})


def has_two_trails_of_one_vcpu(r: Rehearsal) -> Evidence:
    e = lives_on(r)
    return replace(e, trails={0: e.trails[0], 1: e.trails[0]})


def was_promised_more_vcpus(r: Rehearsal) -> Evidence:
    for vcpu in r.guest.vcpus:
        vcpu.page = replace(vcpu.page, nvcpus=4)
    return lives_on(r)


def has_vcpus_of_different_boots(r: Rehearsal) -> Evidence:
    e = lives_on(r)
    e.trails[1].boot_id = OTHER_BOOT
    return e


def has_endless_patience(r: Rehearsal) -> Evidence:
    return replace(dies_at_once(r), limits=Limits(patience=float("nan")))


def has_limits(limits: Limits) -> Callable[[Rehearsal], Evidence]:
    def dies_with_limits(r: Rehearsal) -> Evidence:
        return replace(dies_at_once(r), limits=limits)

    return dies_with_limits


def has_its_memory_kept_and_never_ran(r: Rehearsal) -> Evidence:
    return replace(has_its_memory_kept(r), expected_vcpus=0, trails={})


def has_its_memory_kept_in_a_short_watch(r: Rehearsal) -> Evidence:
    e = dies_in_a_watch_that_is_too_short(r)
    return replace(e, scope=Scope.MEMORY, memory=digests(e, "aa", "aa"))


def has_a_baseline_from_nowhere(r: Rehearsal) -> Evidence:
    e = lives_on(r)
    return replace(e, baseline=Window(e.baseline.ended, e.baseline.began))


def was_watched_by_its_host(r: Rehearsal) -> Evidence:
    return replace(lives_on(r), outside_eye=False)


def digests(e: Evidence, before: str, after: str) -> MemoryWitness:
    return MemoryWitness(before=before, before_at=e.struck, after=after, after_at=e.end)


def has_its_memory_changed(r: Rehearsal) -> Evidence:
    e = lives_on(r)
    return replace(e, memory=digests(e, "aa", "bb"))


def has_its_memory_kept(r: Rehearsal) -> Evidence:
    e = dies_at_once(r)
    return replace(e, scope=Scope.MEMORY, memory=digests(e, "aa", "aa"))


def has_only_its_memory_kept(r: Rehearsal) -> Evidence:
    e = dies_at_once(r)
    return replace(e, memory=digests(e, "aa", "aa"))


def loses_its_memory(r: Rehearsal) -> Evidence:
    e = dies_at_once(r)
    return replace(e, scope=Scope.MEMORY, memory=digests(e, "aa", "bb"))


def runs_on_after_its_memory_was_digested(r: Rehearsal) -> Evidence:
    e = lives_on(r)
    return replace(e, scope=Scope.MEMORY, memory=digests(e, "aa", "bb"))


def runs_on_between_digests_that_are_equal(r: Rehearsal) -> Evidence:
    e = lives_on(r)
    return replace(e, scope=Scope.MEMORY, memory=digests(e, "aa", "aa"))


def has_its_memory_kept_out_of_sight(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.guest.freeze()
    r.guest.wipe(0)
    r.watch(8)
    e = r.evidence(struck)
    return replace(e, scope=Scope.MEMORY, memory=digests(e, "aa", "aa"))


def is_looked_at_too_rarely_because_l0_stood_still(r: Rehearsal) -> Evidence:
    struck = r.now()
    began = r.guest.now
    r.guest.advance(3)
    void = Window(began, r.guest.now)
    r.watch(8)
    return replace(r.evidence(struck), voids=(void,))


def counts_faults_when_l0_stood_still(r: Rehearsal) -> Evidence:
    struck = r.now()
    began = r.guest.now
    r.guest.advance(3)
    void = Window(began, r.guest.now)
    r.watch(1)
    r.guest.vcpus[0].page = replace(r.guest.vcpus[0].page, faults=1)
    r.watch(8)
    return replace(r.evidence(struck), voids=(void,))


def lives_on_in_a_host_that_was_paused(r: Rehearsal) -> Evidence:
    e = lives_on(r)
    return replace(e, interference=(Interference(e.struck + 1, "a was paused"),))


def dies_in_a_host_that_was_reset(r: Rehearsal) -> Evidence:
    e = dies_at_once(r)
    return replace(e, interference=(Interference(e.struck + 1, "a was reset"),))


def has_its_clock_jump_while_l0_jitters(r: Rehearsal) -> Evidence:
    e = has_its_clock_jump(r)
    return replace(e, voids=(Window(e.struck - 1, e.struck - 0.98),))


def has_one_digest(r: Rehearsal) -> Evidence:
    e = dies_at_once(r)
    return replace(e, scope=Scope.MEMORY, memory=digests(e, "", ""))


def has_digests(before: str, after: str) -> Callable[[Rehearsal], Evidence]:
    def has_one_of_two_digests(r: Rehearsal) -> Evidence:
        e = dies_at_once(r)
        return replace(e, scope=Scope.MEMORY, memory=digests(e, before, after))

    return has_one_of_two_digests


def has_both_digests_taken_after(r: Rehearsal) -> Evidence:
    e = dies_at_once(r)
    m = replace(digests(e, "aa", "aa"), before_at=e.struck + 1)
    return replace(e, scope=Scope.MEMORY, memory=m)


def has_its_digests_in_the_wrong_order(r: Rehearsal) -> Evidence:
    e = replace(left_alone(r), scope=Scope.MEMORY)
    m = MemoryWitness(before="aa", before_at=e.end, after="aa", after_at=e.end - 1)
    return replace(e, memory=m)


def has_its_memory_kept_and_never_beat(r: Rehearsal) -> Evidence:
    e = never_beat(r)
    return replace(e, scope=Scope.MEMORY, memory=digests(e, "aa", "aa"))


def counted_a_gap_before_the_watch(r: Rehearsal) -> Evidence:
    r.guest.freeze()
    r.watch(2)
    r.guest.thaw()
    r.watch(0.5)
    r.baseline = Window(r.guest.now, r.guest.now + 2)
    r.watch(2.1)
    return lives_on(r)


def counts_a_gap_after_the_watch(r: Rehearsal) -> Evidence:
    e = lives_on(r)
    r.guest.freeze()
    r.watch(2)
    r.guest.thaw()
    r.watch(1)
    return replace(r.evidence(e.disruption), end=e.end)


def has_no_digest(r: Rehearsal) -> Evidence:
    return replace(dies_at_once(r), scope=Scope.MEMORY)


def has_both_digests_taken_before(r: Rehearsal) -> Evidence:
    e = dies_at_once(r)
    m = replace(digests(e, "aa", "aa"), after_at=e.struck - 0.5)
    return replace(e, scope=Scope.MEMORY, memory=m)


def keeps_its_memory_and_restarts(r: Rehearsal) -> Evidence:
    e = restarts(r)
    return replace(e, scope=Scope.MEMORY, memory=digests(e, "aa", "aa"))
