# SPDX-License-Identifier: Apache-2.0
"""The oracle's cases: a guest of bytes lives a story, and the verdict and its check are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lab.observe.window import Window
from lab.testing.simulated_guest import Rehearsal
from lab.testing.simulated_ram import FakeRam
from lab.verdict.evidence import Limits
from lab.verdict.judge import judge
from lab.verdict.verdict import Check, Lost, Parked, Survived, Unproven
from tests.support.cases_in_time_and_place import IN_TIME_AND_PLACE, Case
from tests.support.evidence_files import through_a_file
from tests.support.guests_and_their_ram import finds_its_ram_changed_after
from tests.support.guests_by_word_of_the_lab import (
    counted_a_gap_before_the_watch,
    counts_a_gap_after_the_watch,
    counts_faults_when_l0_stood_still,
    dies_in_a_host_that_was_reset,
    has_a_baseline_from_nowhere,
    has_a_vcpu_that_nobody_watched,
    has_both_digests_taken_after,
    has_both_digests_taken_before,
    has_digests,
    has_endless_patience,
    has_its_clock_jump_while_l0_jitters,
    has_its_digests_in_the_wrong_order,
    has_its_memory_changed,
    has_its_memory_kept,
    has_its_memory_kept_and_never_beat,
    has_its_memory_kept_and_never_ran,
    has_its_memory_kept_in_a_short_watch,
    has_its_memory_kept_out_of_sight,
    has_its_trails_swapped,
    has_limits,
    has_no_digest,
    has_no_vcpu,
    has_no_witness_of_its_disruption,
    has_one_digest,
    has_only_its_memory_kept,
    has_two_trails_of_one_vcpu,
    has_vcpus_of_different_boots,
    is_looked_at_too_rarely_because_l0_stood_still,
    keeps_its_memory_and_restarts,
    lives_on_in_a_host_that_was_paused,
    loses_its_memory,
    runs_on_after_its_memory_was_digested,
    runs_on_between_digests_that_are_equal,
    was_not_struck,
    was_promised_more_vcpus,
    was_struck_after_the_watch,
    was_struck_before_the_watch,
    was_watched_by_its_host,
)
from tests.support.guests_in_and_out_of_sight import (
    cannot_be_read,
    cannot_be_read_for_a_moment,
    dies_and_its_host_later,
    dies_and_l0_jitters,
    dies_while_l0_stands_still,
    has_a_canary_changed_and_changed_back,
    has_another_vcpus_page,
    has_its_clock_jump_while_l0_stands_still,
    is_looked_at_too_rarely,
    is_not_looked_at_in_the_end,
    is_out_of_sight_for_longer_than_patience,
    is_parked,
    is_said_to_be_parked_after_a_restart,
    is_said_to_be_parked_and_beats,
    is_said_to_be_parked_on_all_vcpus,
    is_said_to_be_parked_out_of_sight,
    is_silent_before_its_clock_jumps,
    lives_and_is_said_to_be_nowhere,
    lives_on_and_l0_jitters,
    loses_its_host,
    loses_its_host_before,
    loses_its_host_undisturbed_and_long_out_of_sight,
    moves_and_a_stale_copy_is_found,
    moves_and_is_found,
    moves_and_is_found_rewound,
    moves_and_the_newest_copy_is_stale,
    outlives_its_host_kernel,
    pauses_for_six,
    vanishes,
    vanishes_and_is_nowhere,
    was_already_silent_when_its_host_died,
    was_silent_and_is_nowhere,
)
from tests.support.guests_that_live_or_die import (
    breaks_its_chain,
    changes_its_canary,
    counts_faults,
    dies_at_once,
    dies_in_a_watch_that_is_too_short,
    dies_in_the_middle_of_a_beat,
    dies_later,
    dies_shortly_before_the_end,
    dies_when_a_long_disruption_is_done,
    freezes_and_resumes,
    freezes_and_resumes_undisturbed,
    freezes_with_its_clock_stopped,
    has_its_canary_forged_without_the_key,
    has_its_clock_jump,
    has_its_clock_set_back,
    hides_a_gap,
    is_rewound,
    is_rewound_and_ahead_at_the_next_look,
    left_alone,
    lives_on,
    never_beat,
    one_vcpu_dies,
    one_vcpu_freezes_and_resumes,
    pauses,
    restarts,
    restarts_and_is_ahead,
    restarts_before_the_disruption,
    shows_a_gap_that_it_does_not_count,
    was_dead_before,
)

OTHER_BOOT = bytes(16)
ELSEWHERE = 0x80_0000


CASES = [
    Case(lives_on, Survived, Check.ALL, "beat on to the end on 1 vCPU (vmm-kill; "),
    Case(lives_on, Survived, Check.ALL, "beat on to the end on 4 vCPU", vcpus=4),
    Case(left_alone, Survived, Check.ALL, "nothing was done to it"),
    Case(pauses, Survived, Check.ALL, "never silent for more than 4."),
    Case(outlives_its_host_kernel, Survived, Check.ALL, "to the end"),
    Case(moves_and_is_found, Survived, Check.ALL, "to the end"),
    Case(cannot_be_read_for_a_moment, Survived, Check.ALL, "to the end"),
    Case(lives_on_in_a_host_that_was_paused, Unproven, Check.INTERFERENCE, "a was paused"),
    Case(dies_in_a_host_that_was_reset, Unproven, Check.INTERFERENCE, "not by the lab"),
    Case(lives_on_and_l0_jitters, Survived, Check.ALL, "to the end"),
    Case(freezes_and_resumes, Lost, Check.SILENCE, "for 6.0 s from +2"),
    Case(freezes_and_resumes, Lost, Check.SILENCE, "and then beat on; 5.0 s is the limit"),
    Case(freezes_and_resumes_undisturbed, Lost, Check.SILENCE, "for 6.0 s and then beat on"),
    Case(freezes_with_its_clock_stopped, Lost, Check.SILENCE, "was silent for 6.0 s"),
    Case(one_vcpu_freezes_and_resumes, Lost, Check.SILENCE, "vCPU 1 was silent", vcpus=2),
    Case(dies_at_once, Lost, Check.SILENCE, "to the end of the watch"),
    Case(dies_in_the_middle_of_a_beat, Lost, Check.SILENCE, "to the end of the watch"),
    Case(dies_later, Lost, Check.SILENCE, "from +4"),
    Case(one_vcpu_dies, Lost, Check.SILENCE, "vCPU 2 was silent for 8", vcpus=4),
    Case(dies_and_l0_jitters, Lost, Check.SILENCE, "to the end"),
    Case(pauses_for_six, Lost, Check.SILENCE, "was silent for 6.0 s"),
    Case(dies_while_l0_stands_still, Unproven, Check.JITTER, "L0 itself stalled"),
    Case(dies_shortly_before_the_end, Unproven, Check.END, "watch on to know"),
    Case(dies_in_a_watch_that_is_too_short, Unproven, Check.WATCH, "can miss a death"),
    Case(dies_when_a_long_disruption_is_done, Unproven, Check.WATCH, "for 4.5 s"),
    Case(was_dead_before, Unproven, Check.EARLY, "that began before"),
    Case(never_beat, Unproven, Check.BASELINE, "did not beat"),
    Case(restarts, Lost, Check.RESTART, "it was restarted: boot id c8c9"),
    Case(restarts_and_is_ahead, Lost, Check.RESTART, "it was restarted"),
    Case(restarts_before_the_disruption, Unproven, Check.RESTART, "before the disruption"),
    Case(is_rewound, Lost, Check.REWIND, "it was rewound: beat "),
    Case(is_rewound_and_ahead_at_the_next_look, Lost, Check.REWIND, "seen before"),
    Case(breaks_its_chain, Lost, Check.CHAIN, "the chain is broken at beat "),
    Case(changes_its_canary, Lost, Check.CANARY, "its canary became 0000"),
    Case(has_its_canary_forged_without_the_key, Unproven, Check.PATH, "not signed"),
    Case(has_its_clock_set_back, Lost, Check.CLOCK, "went back by 1.99"),
    Case(counts_faults, Lost, Check.FAULTS, "counted 1 faults"),
    Case(
        finds_its_ram_changed_after(FakeRam.flip_a_bit),
        Lost,
        Check.RAM,
        "its RAM was corrupted: 1 pages",
    ),
    Case(has_its_clock_jump, Lost, Check.GUEST_SILENCE, "9.0 s of its own clock"),
    Case(has_its_clock_jump_while_l0_jitters, Lost, Check.GUEST_SILENCE, "9.0 s of its own"),
    Case(is_looked_at_too_rarely_because_l0_stood_still, Unproven, Check.JITTER, "too rare"),
    Case(counts_faults_when_l0_stood_still, Lost, Check.FAULTS, "counted 1 faults"),
    Case(runs_on_after_its_memory_was_digested, Unproven, Check.MEMORY, "vCPU 0 beat on"),
    Case(runs_on_between_digests_that_are_equal, Unproven, Check.MEMORY, "vCPU 0 beat on"),
    Case(
        has_its_memory_kept_out_of_sight, Unproven, Check.PATH, "L1-witnessed: the memory of vCPU 0"
    ),
    Case(hides_a_gap, Unproven, Check.OWN_COUNT, "counts 4.000 s"),
    Case(shows_a_gap_that_it_does_not_count, Unproven, Check.OWN_COUNT, "counts 1.000 s"),
    Case(is_looked_at_too_rarely, Unproven, Check.OVERRUN, "looks were too rare"),
    Case(is_not_looked_at_in_the_end, Unproven, Check.PATH, "the eye was shut"),
    Case(is_silent_before_its_clock_jumps, Unproven, Check.EARLY, "before the disruption"),
    Case(has_its_clock_jump_while_l0_stands_still, Unproven, Check.JITTER, "of its own clock"),
    Case(was_already_silent_when_its_host_died, Unproven, Check.EARLY, "not seen alive"),
    Case(loses_its_host_undisturbed_and_long_out_of_sight, Unproven, Check.EARLY, "host died"),
    Case(dies_and_its_host_later, Lost, Check.HOST, "its host died: shut off"),
    Case(has_a_canary_changed_and_changed_back, Lost, Check.CANARY, "its canary became"),
    Case(vanishes, Unproven, Check.PATH, "there is no beacon"),
    Case(vanishes_and_is_nowhere, Lost, Check.NOWHERE, "nowhere in the memory of its host"),
    Case(was_silent_and_is_nowhere, Unproven, Check.EARLY, "was not seen alive"),
    Case(lives_and_is_said_to_be_nowhere, Survived, Check.ALL, "to the end"),
    Case(cannot_be_read, Unproven, Check.PATH, "cannot be read"),
    Case(has_another_vcpus_page, Unproven, Check.PATH, "is vCPU 1's", vcpus=2),
    Case(loses_its_host, Lost, Check.HOST, "alive when its host died: it was reset"),
    Case(loses_its_host_before, Unproven, Check.PATH, "cannot be read"),
    Case(moves_and_a_stale_copy_is_found, Unproven, Check.ELSEWHERE, "at 0x100000"),
    Case(moves_and_the_newest_copy_is_stale, Unproven, Check.PAGE, "never beat on the page"),
    Case(moves_and_is_found_rewound, Lost, Check.REWIND, "it was rewound"),
    Case(is_parked, Parked, Check.PARKED, "unhandled exit 0x7b"),
    Case(is_said_to_be_parked_and_beats, Unproven, Check.PARKED, "vCPU 0 beats"),
    Case(is_said_to_be_parked_on_all_vcpus, Unproven, Check.PARKED, "vCPU 0 beats", vcpus=4),
    Case(is_said_to_be_parked_out_of_sight, Unproven, Check.PARKED, "out of sight"),
    Case(is_said_to_be_parked_after_a_restart, Lost, Check.RESTART, "restarted"),
    Case(was_not_struck, Unproven, Check.DISRUPTION, "process 7 is still there"),
    Case(has_no_witness_of_its_disruption, Unproven, Check.DISRUPTION, "has no witness"),
    Case(was_struck_before_the_watch, Unproven, Check.DISRUPTION, "not within the watch"),
    Case(was_struck_after_the_watch, Unproven, Check.DISRUPTION, "not within the watch"),
    Case(has_a_vcpu_that_nobody_watched, Unproven, Check.EVIDENCE, "2 vCPUs were expected"),
    Case(has_no_vcpu, Unproven, Check.EVIDENCE, "no vCPU was watched"),
    Case(has_its_trails_swapped, Unproven, Check.EVIDENCE, "were expected", vcpus=2),
    Case(has_two_trails_of_one_vcpu, Unproven, Check.EVIDENCE, "were expected", vcpus=2),
    Case(was_promised_more_vcpus, Unproven, Check.BASELINE, "says that it has 4", vcpus=2),
    Case(has_vcpus_of_different_boots, Unproven, Check.IDENTITY, "different boots", vcpus=2),
    Case(has_endless_patience, Unproven, Check.EVIDENCE, "not a number"),
    *(
        Case(has_limits(limits), Unproven, Check.EVIDENCE, "within patience")
        for limits in (
            Limits(patience=5, closing=0),
            Limits(patience=5, closing=6),
            Limits(patience=5, live=0),
            Limits(patience=5, live=6),
            Limits(patience=0),
        )
    ),
    Case(has_its_memory_kept_and_never_ran, Survived, Check.MEMORY, "its memory is the same"),
    Case(has_its_memory_kept_in_a_short_watch, Survived, Check.MEMORY, "its memory is the same"),
    Case(has_a_baseline_from_nowhere, Unproven, Check.EVIDENCE, "not within the watch"),
    Case(was_watched_by_its_host, Unproven, Check.EYE, "L1-witnessed"),
    Case(has_its_memory_changed, Lost, Check.MEMORY, "aa became bb"),
    Case(has_its_memory_kept, Survived, Check.MEMORY, "its memory is the same"),
    Case(has_only_its_memory_kept, Lost, Check.SILENCE, "silent"),
    Case(loses_its_memory, Lost, Check.MEMORY, "aa became bb"),
    Case(has_one_digest, Unproven, Check.MEMORY, "digests of its memory is missing"),
    Case(has_digests("aa", ""), Unproven, Check.MEMORY, "digests of its memory is missing"),
    Case(has_digests("", "aa"), Unproven, Check.MEMORY, "digests of its memory is missing"),
    Case(has_both_digests_taken_after, Unproven, Check.MEMORY, "before and after"),
    Case(has_its_digests_in_the_wrong_order, Unproven, Check.MEMORY, "before and after"),
    Case(has_its_memory_kept_and_never_beat, Unproven, Check.BASELINE, "did not beat"),
    Case(counted_a_gap_before_the_watch, Survived, Check.ALL, "to the end"),
    Case(counts_a_gap_after_the_watch, Survived, Check.ALL, "to the end"),
    Case(has_no_digest, Unproven, Check.MEMORY, "not digested"),
    Case(has_both_digests_taken_before, Unproven, Check.MEMORY, "before and after"),
    Case(keeps_its_memory_and_restarts, Lost, Check.RESTART, "restarted"),
    *IN_TIME_AND_PLACE,
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.story.__name__}-{c.vcpus}")
def test_a_guest_that(case: Case, tmp_path: Path) -> None:
    evidence = case.story(Rehearsal(case.vcpus))
    found = judge(evidence)
    assert (type(found), found.check) == (case.verdict, case.check), found.reason
    assert case.says in found.reason
    assert found.scope is evidence.scope
    assert judge(evidence) == found
    assert repr(judge(through_a_file(evidence, tmp_path))) == repr(found)  # nan equals nothing


def test_each_check_has_a_case_that_it_decides() -> None:
    assert {case.check for case in CASES} == set(Check)


def test_what_was_out_of_sight_is_not_what_l0_was_too_slow_for() -> None:
    e = is_out_of_sight_for_longer_than_patience(Rehearsal(period_ns=100_000_000))
    found = judge(replace(e, voids=(Window(e.struck + 1, e.struck + 2),)))
    assert (type(found), found.check) == (Unproven, Check.EYE)


def test_slow_beacon_unseen_for_longer_than_patience_is_unproven() -> None:
    found = judge(is_out_of_sight_for_longer_than_patience(Rehearsal(period_ns=100_000_000)))
    assert (type(found), found.check) == (Unproven, Check.EYE)
    assert "may have been silent for 6" in found.reason
