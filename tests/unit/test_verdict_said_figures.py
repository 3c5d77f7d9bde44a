# SPDX-License-Identifier: Apache-2.0
"""The figures of a verdict are those of the watch."""

from __future__ import annotations

import pytest

from lab.observe.identity import Happened, Undisturbed
from lab.observe.trail import Blind, Own
from lab.observe.window import Window
from lab.verdict.figures import figures_of
from lab.verdict.unseen import rewind_bound
from lab.verdict.verdict import (
    Figures,
    VcpuFigures,
)
from tests.support.made_trails import every, evidence_of, near, steady, trail_of

LOOKS = every(0.1, 0.0, 30.0)


def test_figures_are_those_of_the_watch() -> None:
    trail = trail_of([*every(0.1, 0.0, 12.0), *every(0.1, 13.0, 29.9)], LOOKS)
    trail.irqs = 17
    trail.owns[:] = [Own(1.0, 5, 0, 1), Own(29.0, 900_000_000, 0, 2), Own(31.0, 10**10, 0, 9)]
    trail.blinds += [Blind(at, at, "no") for at in (3.0, 30.0, 30.1)]
    e = evidence_of(
        trail, baseline=Window(1.0, 9.0), voids=(Window(0.5, 1.5), Window(0.0, 1.0), Window(4, 5))
    )
    found = figures_of(e)
    vcpu, bound = found.vcpus[0], rewind_bound(e, trail)
    assert bound.seconds > 0
    assert found == Figures(
        watched_s=29.0, void_windows=2, timing_void=True, disruption="vmm-kill", beats_on=True,
        vcpus=(vcpu,),
    )  # fmt: skip
    assert vcpu == VcpuFigures(
        vcpu=0, beats=280, looks=291, silence_least_s=near(0.9),
        silence_most_s=near(1.1), silence_began_s=near(2.0),
        guest_gap_s=near(1.0), guest_gap_at_s=near(112.0), own_max_gap_s=0.9,
        drift_s=vcpu.drift_s, faults=2, irqs=17, blind=2, clock_rate=vcpu.clock_rate,
        clock_step_s=vcpu.clock_step_s, beat_rate=vcpu.beat_rate,
        rewind_s=bound.seconds, rewind_beats=bound.beats, ram_mib=None,
    )  # fmt: skip
    assert (vcpu.drift_s, vcpu.clock_rate) == (near(0.0), near(1.0))


def test_figures_have_the_step_of_a_clock_and_what_came_by_the_end() -> None:
    beats = every(0.1, 0.0, 30.0)
    stamps = [100.0 + at + (0.5 if at > 12.0 else 0.0) for at in beats]
    trail = trail_of(beats, LOOKS, stamps=stamps)
    trail.owns.append(Own(30.0, 10**9, 0, 3))
    vcpu = figures_of(evidence_of(trail)).vcpus[0]
    assert vcpu.clock_step_s == near(0.5)
    assert (vcpu.own_max_gap_s, vcpu.faults) == (1.0, 3)


def test_figures_of_a_control_that_shows_nothing() -> None:
    trail = trail_of([], [])
    trail.owns.clear()
    found = figures_of(evidence_of(trail, disruption=Undisturbed()))
    vcpu = found.vcpus[0]
    assert (found.disruption, found.timing_void, found.void_windows) == ("", False, 0)
    assert (vcpu.silence_began_s, vcpu.own_max_gap_s, vcpu.faults, vcpu.looks) == (None, 0, 0, 0)
    assert (vcpu.clock_step_s, vcpu.beats, vcpu.drift_s) == (0.0, 0, None)


def test_figures_count_the_looks_of_the_watch_alone() -> None:
    trail = trail_of([0.0], [0.5, 1.5, 2.5, 3.5], takes=0.5)
    for began, end, looks in (
        (1.5, 3.0, 2),
        (1.6, 3.0, 1),
        (1.5, 2.9, 1),
        (3.9, 4.0, 0),
        (3.6, 3.9, 0),
    ):
        e = evidence_of(trail, baseline=Window(began, began + 0.1), end=end)
        assert figures_of(e).vcpus[0].looks == looks, (began, end)
    late_on = evidence_of(trail, baseline=Window(20.0, 21.0))
    assert figures_of(late_on).vcpus[0].looks == 0


@pytest.mark.parametrize(("lasts", "on"), [(30.0, True), (29.1, True), (28.5, False)])
def test_a_guest_beats_on_if_each_vcpu_does(lasts: float, *, on: bool) -> None:
    second = trail_of(every(0.1, 0.0, lasts), LOOKS, vcpu=1)
    assert figures_of(evidence_of(steady(), second)).beats_on is on


def test_a_guest_without_vcpus_does_not_beat_on() -> None:
    found = figures_of(evidence_of(disruption=Happened("kexec", 10.0, 10.0)))
    assert (found.beats_on, found.vcpus) == (False, ())
