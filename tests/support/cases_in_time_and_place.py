# SPDX-License-Identifier: Apache-2.0
"""What must be said of guests that are wrong in time or place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lab.testing.simulated_guest import Rehearsal
from lab.verdict.evidence import Evidence
from lab.verdict.verdict import Check, Lost, Parked, Survived, Unproven
from tests.support.guests_in_and_out_of_sight import is_parked_in_a_beat_as
from tests.support.guests_in_two_places import (
    beats_elsewhere,
    beats_elsewhere_and_is_found_late,
    beats_elsewhere_and_its_page_is_taken,
    dies_and_leaves_a_stale_copy,
    dies_and_nobody_searches,
    dies_and_not_all_can_be_searched,
    lives_and_left_a_stale_copy,
    lives_and_nobody_looks_for_a_copy,
    lives_twice,
)
from tests.support.guests_that_live_or_die import lives_on
from tests.support.guests_wrong_in_time_and_place import (
    beats_at_a_hundredth_of_its_pace,
    beats_at_a_hundredth_of_its_pace_in_the_end,
    counted_faults_from_the_first_look_on,
    counts_faults_and_is_parked,
    died_a_moment_before,
    died_a_moment_before_and_beat_fast,
    died_between_two_looks_before_it_was_struck,
    dies_while_it_is_handed_over,
    had_a_fast_clock_before,
    had_its_clock_set_back_and_is_parked,
    had_its_clock_step_before,
    has_a_clock_that_is_a_little_fast,
    has_a_fast_clock,
    has_its_clock_run_at_a_hundredth,
    has_its_clock_stand_still,
    has_its_clock_step,
    is_kexecd_as_often_as_was_wanted,
    is_kexecd_once_of_a_hundred_times,
    is_looked_away_from_while_it_pauses,
    is_restored_with_a_clock_that_may_have_stood,
    is_restored_with_a_clock_that_should_have_run,
    is_restored_with_a_clock_that_stood,
    is_rewound_out_of_sight,
    is_stopped_and_silent_for_too_long_after,
    is_stopped_for_no_reason,
    is_stopped_in_its_baseline,
    is_stopped_to_the_end,
    may_be_rewound_while_l0_stands_still,
    stood_still,
    was_handed_over_in_its_baseline,
    was_not_looked_at_when_it_was_struck,
    was_wrong_before_its_baseline,
)

Told = Survived | Parked | Lost | Unproven


@dataclass(frozen=True, slots=True)
class Case:
    """What happens to a guest after its baseline, and what must be said of it."""

    story: Callable[[Rehearsal], Evidence]
    verdict: type[Told]
    check: Check
    says: str
    vcpus: int = 1


IN_TIME_AND_PLACE = [
    Case(has_its_clock_stand_still, Lost, Check.CLOCK_RATE, "ran at 0.00 of L0's"),
    Case(has_its_clock_run_at_a_hundredth, Lost, Check.CLOCK_RATE, "ran at 0.01 of L0's"),
    Case(has_a_fast_clock, Lost, Check.CLOCK_RATE, "ran at 1.30 of L0's"),
    Case(has_a_clock_that_is_a_little_fast, Lost, Check.CLOCK_RATE, "ran at 1.08 of L0's"),
    Case(had_a_fast_clock_before, Unproven, Check.CLOCK_RATE, "before it was struck"),
    Case(has_its_clock_step(-1.0), Lost, Check.CLOCK_STEP, "stepped by -1.0"),
    Case(has_its_clock_step(1.0), Lost, Check.CLOCK_STEP, "stepped by +1.0"),
    Case(has_its_clock_step(-4.8, 6.0), Lost, Check.CLOCK_STEP, "stepped by -4.8"),
    Case(has_its_clock_step(0.1), Survived, Check.ALL, "to the end"),
    Case(had_its_clock_step_before, Unproven, Check.CLOCK_STEP, "before the disruption"),
    Case(is_restored_with_a_clock_that_stood, Survived, Check.ALL, "to the end"),
    Case(is_restored_with_a_clock_that_may_have_stood, Survived, Check.ALL, "to the end"),
    Case(is_restored_with_a_clock_that_should_have_run, Lost, Check.CLOCK_STEP, "by -4.0"),
    Case(beats_at_a_hundredth_of_its_pace, Lost, Check.BEAT_RATE, "times before"),
    Case(beats_at_a_hundredth_of_its_pace_in_the_end, Lost, Check.BEAT_RATE, "times before"),
    Case(stood_still, Survived, Check.ALL, "to the end"),
    Case(is_stopped_and_silent_for_too_long_after, Lost, Check.SILENCE, "for 10.6 s"),
    Case(is_stopped_for_no_reason, Unproven, Check.EVIDENCE, "a stop has no reason"),
    Case(is_stopped_in_its_baseline, Unproven, Check.EVIDENCE, "not within the watch"),
    Case(is_stopped_to_the_end, Unproven, Check.WATCH, "can miss a death"),
    Case(is_rewound_out_of_sight, Unproven, Check.REWIND_BOUND, "could have been missed"),
    Case(may_be_rewound_while_l0_stands_still, Unproven, Check.JITTER, "could have been missed"),
    Case(is_looked_away_from_while_it_pauses, Unproven, Check.REWIND_BOUND, "by 151 beats"),
    Case(beats_elsewhere, Unproven, Check.ELSEWHERE, "and beats at 0x800000"),
    Case(beats_elsewhere_and_its_page_is_taken, Unproven, Check.ELSEWHERE, "no beacon"),
    Case(beats_elsewhere_and_is_found_late, Unproven, Check.PAGE, "beats on another page"),
    Case(dies_and_nobody_searches, Unproven, Check.SEARCH, "was not searched"),
    Case(dies_and_not_all_can_be_searched, Unproven, Check.SEARCH, "could be read"),
    Case(dies_and_leaves_a_stale_copy, Lost, Check.SILENCE, "to the end of the watch"),
    Case(lives_and_left_a_stale_copy, Survived, Check.ALL, "to the end"),
    Case(lives_and_nobody_looks_for_a_copy, Survived, Check.ALL, "copy was not looked for"),
    Case(lives_on, Survived, Check.ALL, "no second copy of it beats"),
    Case(lives_on, Survived, Check.ALL, "ms would have been seen"),
    Case(lives_twice, Unproven, Check.SPLIT_BRAIN, "beats in two places, 0x100000 and 0x800000"),
    Case(counts_faults_and_is_parked, Lost, Check.FAULTS, "counted 1 faults"),
    Case(had_its_clock_set_back_and_is_parked, Lost, Check.CLOCK, "went back by"),
    Case(is_parked_in_a_beat_as("canary"), Lost, Check.CANARY, "its canary became"),
    Case(is_parked_in_a_beat_as("boot"), Lost, Check.RESTART, "it was restarted"),
    Case(counted_faults_from_the_first_look_on, Unproven, Check.FAULTS, "when it was first seen"),
    Case(was_wrong_before_its_baseline, Unproven, Check.CHAIN, "before the disruption"),
    Case(died_a_moment_before, Unproven, Check.EARLY, "that began before"),
    Case(died_a_moment_before_and_beat_fast, Unproven, Check.EARLY, "that began before"),
    Case(was_not_looked_at_when_it_was_struck, Lost, Check.SILENCE, "to the end"),
    Case(died_between_two_looks_before_it_was_struck, Unproven, Check.EARLY, "began before"),
    Case(dies_while_it_is_handed_over, Lost, Check.SILENCE, "to the end"),
    Case(was_handed_over_in_its_baseline, Unproven, Check.EVIDENCE, "in its baseline"),
    Case(is_kexecd_once_of_a_hundred_times, Unproven, Check.TALLY, "and 1 were witnessed"),
    Case(is_kexecd_as_often_as_was_wanted, Survived, Check.ALL, "to the end"),
]
