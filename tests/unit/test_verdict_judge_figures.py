# SPDX-License-Identifier: Apache-2.0
"""What the oracle measures beside its verdict: whether a guest beats on, and how long it paused."""

from __future__ import annotations

import pytest

from lab.testing.simulated_guest import Rehearsal
from lab.verdict.judge import judge
from lab.verdict.verdict import Survived
from tests.support.guests_by_word_of_the_lab import was_not_struck
from tests.support.guests_in_and_out_of_sight import (
    cannot_be_read,
    lives_on_and_l0_jitters,
    pauses_for_six,
)
from tests.support.guests_that_live_or_die import counts_faults, dies_at_once, one_vcpu_dies, pauses


def test_beating_to_the_end_differs_from_stopping_early() -> None:
    assert judge(pauses_for_six(Rehearsal())).figures.beats_on
    assert judge(counts_faults(Rehearsal())).figures.beats_on
    assert not judge(dies_at_once(Rehearsal())).figures.beats_on
    assert not judge(one_vcpu_dies(Rehearsal(4))).figures.beats_on
    assert not judge(cannot_be_read(Rehearsal())).figures.beats_on


def test_the_figures_of_a_pause_bound_it_and_say_when_it_began() -> None:
    found = judge(pauses(Rehearsal(2)))
    assert found.figures.disruption == "vmm-kill"
    for vcpu in found.figures.vcpus:
        assert 3.9 < vcpu.silence_least_s <= vcpu.guest_gap_s + 0.011
        assert vcpu.guest_gap_s - 0.011 < vcpu.silence_most_s < 4.2
        assert vcpu.silence_began_s == pytest.approx(0, abs=0.1)
        assert vcpu.drift_s == pytest.approx(0, abs=0.1)
        assert vcpu.beats > 800
        assert vcpu.looks > 150


def test_what_was_refused_still_shows_what_was_measured() -> None:
    found = judge(was_not_struck(Rehearsal()))
    assert found.figures.vcpus[0].beats > 800


def test_jitter_of_l0_voids_the_figures_and_not_the_survival() -> None:
    found = judge(lives_on_and_l0_jitters(Rehearsal()))
    assert isinstance(found, Survived)
    assert (found.figures.timing_void, found.figures.void_windows) == (True, 1)
