# SPDX-License-Identifier: Apache-2.0
"""A guest that beats elsewhere, in two places, or leaves copies behind: what was seen of it."""

from __future__ import annotations

from dataclasses import replace

from lab.testing.simulated_guest import Rehearsal
from lab.verdict.evidence import Evidence
from tests.support.guests_in_and_out_of_sight import ELSEWHERE
from tests.support.guests_that_live_or_die import dies_at_once, lives_on


def beats_elsewhere(r: Rehearsal) -> Evidence:
    """Have its page moved when it is struck, with nobody telling the eye."""
    struck = r.now()
    r.guest.move(0, ELSEWHERE)
    r.watch(8)
    return r.evidence(struck)


def beats_elsewhere_and_its_page_is_taken(r: Rehearsal) -> Evidence:
    struck = r.now()
    old = r.guest.vcpus[0].phys
    r.guest.move(0, ELSEWHERE)
    r.guest.memory[old] = bytearray(b"\x5a" * 4096)
    r.watch(8)
    return r.evidence(struck)


def beats_elsewhere_and_is_found_late(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.guest.move(0, ELSEWHERE)
    r.watch(8)
    r.eye.relocate({0: ELSEWHERE})
    r.watch(8)
    return r.evidence(struck)


def dies_and_nobody_searches(r: Rehearsal) -> Evidence:
    return replace(dies_at_once(r), search=None)


def dies_and_not_all_can_be_searched(r: Rehearsal) -> Evidence:
    e = dies_at_once(r)
    assert e.search is not None
    return replace(e, search=replace(e.search, whole=False))


def dies_and_leaves_a_stale_copy(r: Rehearsal) -> Evidence:
    r.guest.memory[ELSEWHERE] = bytearray(r.guest.memory[r.guest.pages[0]])
    return dies_at_once(r)


def lives_and_left_a_stale_copy(r: Rehearsal) -> Evidence:
    r.guest.memory[ELSEWHERE] = bytearray(r.guest.memory[r.guest.pages[0]])
    return lives_on(r)


def lives_and_nobody_looks_for_a_copy(r: Rehearsal) -> Evidence:
    return replace(lives_on(r), search=None)


def lives_twice(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.guest.copies[0] = ELSEWHERE
    r.watch(8)
    return r.evidence(struck)
