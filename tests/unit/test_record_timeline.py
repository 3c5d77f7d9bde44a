# SPDX-License-Identifier: Apache-2.0
"""From a rehearsed watch to the numbers of a silence plot, and to the consoles beside it."""

from __future__ import annotations

from lab.observe.identity import Undisturbed
from lab.record.model import TimelineRecord
from lab.record.timeline import around, guest_clock, struck_line, timeline_of
from lab.testing.simulated_guest import Rehearsal


def filmed(rehearsal: Rehearsal, frozen_s: float, *, clock_runs: bool = True) -> TimelineRecord:
    rehearsal.eye.mark("vmm-kill")
    struck = rehearsal.now()
    rehearsal.guest.freeze()
    rehearsal.guest.clock_runs = clock_runs
    rehearsal.watch(frozen_s)
    rehearsal.guest.clock_runs = True
    rehearsal.guest.thaw()
    rehearsal.watch(4.0)
    return timeline_of(rehearsal.evidence(struck), rehearsal.eye.found().marks)


def quiet_ms(bins: tuple[int, ...], line: TimelineRecord) -> tuple[float, float]:
    """Return the longest run of empty bins: when it began, and for how long."""
    best, run = (0, 0), 0
    for n, beats in enumerate((*bins, 1)):
        if beats == 0:
            run += 1
            continue
        best, run = max(best, (run, n - run)), 0
    return line.began_ms + best[1] * line.bin_ms, best[0] * line.bin_ms


def test_a_silence_is_where_it_was_on_both_clocks() -> None:
    line = filmed(Rehearsal(2), 1.0)

    assert line.baseline_ms[1] <= 1.0
    assert ("vmm-kill", 0.0) in line.phases
    for vcpu in line.vcpus:
        for row in (vcpu.l0, vcpu.guest):
            began, length = quiet_ms(row, line)
            assert abs(began) < 150
            assert abs(length - 1000) < 150
        assert vcpu.baseline_l0_ms is not None
        assert vcpu.baseline_l0_ms[0] <= vcpu.baseline_l0_ms[1] < 150
        assert sum(vcpu.guest) > 500


def test_stopped_guest_clock_is_silent_by_l0s_clock_only() -> None:
    (vcpu,) = (line := filmed(Rehearsal(1), 1.0, clock_runs=False)).vcpus

    assert quiet_ms(vcpu.l0, line)[1] > 850
    assert vcpu.guest[-1] == 0  # it is a second behind, to the end
    assert vcpu.l0[-1] > 0 or vcpu.l0[-2] > 0


def test_every_beat_of_the_watch_is_in_some_bin() -> None:
    rehearsal = Rehearsal(1)
    rehearsal.watch(2.0)
    evidence = rehearsal.evidence(Undisturbed())
    line = timeline_of(evidence, ())

    seen = sum(line.vcpus[0].l0)
    assert abs(seen - 500) < 15  # 5 s, a beat every 10 ms
    assert abs(sum(line.vcpus[0].guest) - seen) < 15
    assert line.baseline_ms[1] == 0.0
    assert line.done_ms is None


def test_a_console_is_cut_around_the_disruption() -> None:
    lines = [f"[{n:5}.0] line {n}" for n in range(100)]
    cut = around("host-console.log", lines, 50)
    assert cut is not None
    assert (cut.first, cut.struck, len(cut.lines)) == (43, 8, 40)
    assert cut.lines[8] == lines[50]
    assert around("host-console.log", [], 50) is None


def test_a_console_without_a_known_moment_shows_its_end() -> None:
    cut = around("guest-console.log", ["a" * 900] * 100, None)
    assert cut is not None
    assert cut.struck is None
    assert cut.first + len(cut.lines) == 101
    assert len(cut.lines[0]) == 400


def test_stamps_of_the_kernel_tell_where_the_guest_was_struck() -> None:
    lines = ["hello", "[    1.5] a", "[    7.9] b", "no stamp", "[    9.0] c"]
    assert struck_line(lines, 8.0) == 4
    assert struck_line(lines, 99.0) == 5
    assert struck_line(["no", "stamps"], 8.0) is None
    assert 10.0 < guest_clock(Rehearsal(1).evidence(Undisturbed())) < 11.0
