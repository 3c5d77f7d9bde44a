# SPDX-License-Identifier: Apache-2.0
"""The figures of a watch, worked out of its trails; the judge does not look at them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from lab.observe.identity import Happened
from lab.observe.trail import Trail
from lab.verdict.clock import clock_of
from lab.verdict.evidence import Evidence
from lab.verdict.ram_checks import verified_mib
from lab.verdict.silence import beats, drift, longest, longest_gap, silences
from lab.verdict.unseen import rewind_bound
from lab.verdict.verdict import Figures, VcpuFigures


def figures_of(evidence: Evidence) -> Figures:
    """Measure what `evidence` shows, undisturbed by what it means."""
    window = evidence.window
    void = sum(window.overlap(v) > 0 for v in evidence.voids)
    struck = evidence.disruption
    ram = [mib for t in evidence.trails.values() if (mib := verified_mib(evidence, t)) is not None]
    return Figures(
        watched_s=window.length,
        void_windows=void,
        timing_void=bool(void),
        disruption=struck.what if isinstance(struck, Happened) else "",
        beats_on=bool(evidence.trails)
        and all(_beats_on(evidence, trail) for trail in evidence.trails.values()),
        ram_mib=sum(ram) if ram else None,
        vcpus=tuple(
            _vcpu(evidence, evidence.trails[n], struck.at if isinstance(struck, Happened) else None)
            for n in sorted(evidence.trails)
        ),
    )


def _beats_on(evidence: Evidence, trail: Trail) -> bool:
    *_, ending = silences(trail, evidence.window)
    return ending.most <= evidence.limits.closing


def _vcpu(e: Evidence, trail: Trail, struck: float | None) -> VcpuFigures:
    window, clock, bound = e.window, clock_of(e, trail), rewind_bound(e, trail)
    silence, gap = longest(trail, window), longest_gap(trail, window)
    owns = [own for own in trail.owns if own.at <= window.ended]
    looks = bisect_right(trail.clear_ended, window.ended)
    return VcpuFigures(
        vcpu=trail.vcpu,
        beats=beats(trail, window),
        looks=max(0, looks - bisect_left(trail.clear_began, window.began)),
        silence_least_s=silence.least,
        silence_most_s=silence.most,
        silence_began_s=None if struck is None else silence.by - struck,
        guest_gap_s=gap.ns / 1e9,
        guest_gap_at_s=gap.at_ns / 1e9,
        own_max_gap_s=owns[-1].max_gap_ns / 1e9 if owns else 0.0,
        drift_s=drift(trail, window),
        faults=owns[-1].faults if owns else 0,
        irqs=trail.irqs,
        clock_rate=clock.rate_after,
        clock_step_s=clock.step.seconds if clock.step else 0.0,
        beat_rate=clock.beat_share,
        rewind_s=bound.seconds,
        rewind_beats=bound.beats,
        ram_mib=verified_mib(e, trail),
        blind=sum(b.began <= window.ended for b in trail.blinds),
    )
