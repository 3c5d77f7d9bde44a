# SPDX-License-Identifier: Apache-2.0
"""From what the eye saw to the few numbers that a silence plot is drawn from; pure."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence

from lab.observe.eye import Mark
from lab.observe.identity import Happened
from lab.observe.trail import Trail
from lab.observe.window import Window
from lab.record.model import ConsoleRecord, TimelineRecord, VcpuTimeline
from lab.verdict.evidence import Evidence
from lab.verdict.silence import longest, longest_gap

_BINS = 240
_BEFORE, _AFTER = 8, 32  # lines of a console around the disruption
_LONG = 400  # characters of a line


def timeline_of(evidence: Evidence, marks: Sequence[Mark]) -> TimelineRecord:
    """Count the beats of a cell in bins of time, with the disruption at 0.

    Args:
        evidence: What is known of its guest.
        marks: The phases that the eye marked.

    Returns:
        About 240 bins for each vCPU, by both clocks, in milliseconds.
    """
    struck, window = _struck(evidence), evidence.window
    bin_s = max(window.length / _BINS, 1e-6)
    done = evidence.disruption.done if isinstance(evidence.disruption, Happened) else None
    return TimelineRecord(
        began_ms=_ms(window.began - struck),
        bin_ms=_ms(bin_s) or 0.001,
        baseline_ms=_between(evidence.baseline, struck),
        done_ms=None if done is None else _ms(done - struck),
        phases=tuple((mark.label, _ms(mark.at - struck)) for mark in marks),
        voids=tuple(_between(v, struck) for v in evidence.voids if v.overlap(window)),
        vcpus=tuple(
            _vcpu(evidence.trails[n], window, evidence.baseline, bin_s)
            for n in sorted(evidence.trails)
        ),
    )


def excerpts(
    consoles: Mapping[str, Sequence[str]], evidence: Evidence | None, struck: int | None
) -> tuple[ConsoleRecord, ...]:
    """Cut all consoles of a cell to what came shortly before and after the disruption.

    Args:
        consoles: The lines of each, by its file's name.
        evidence: What is known of the guest's clock: where its own console was struck.
        struck: How many lines of the host's console had come when the disruption was ordered.

    Returns:
        One for each console of which anything is left.
    """
    guests = guest_clock(evidence) if evidence else None
    cuts = []
    for name, lines in consoles.items():
        at = struck
        if name.startswith("guest"):
            at = struck_line(lines, guests) if guests is not None else None
        cuts.append(around(name, lines, at))
    return tuple(cut for cut in cuts if cut is not None)


def around(name: str, lines: Sequence[str], struck: int | None) -> ConsoleRecord | None:
    """Cut a console to what came shortly before and after the disruption; None if nothing did.

    Args:
        name: What its file is called.
        lines: All of it.
        struck: How many lines had come when the disruption was ordered; the end when None.
    """
    at = len(lines) if struck is None else min(struck, len(lines))
    begin = max(0, at - (_BEFORE if struck is not None else _BEFORE + _AFTER))
    kept = tuple(line[:_LONG] for line in lines[begin : at + _AFTER])
    if not kept:
        return None
    return ConsoleRecord(
        name=name, first=begin + 1, struck=None if struck is None else at - begin, lines=kept
    )


def struck_line(lines: Sequence[str], at_s: float) -> int | None:
    """Count the lines that a kernel stamped with at most `at_s` seconds; None if it stamps none."""
    stamps = [(n, stamp) for n, line in enumerate(lines) if (stamp := _stamp(line)) is not None]
    if not stamps:
        return None
    return next((n for n, stamp in stamps if stamp > at_s), len(lines))


def guest_clock(evidence: Evidence) -> float:
    """Return the guest's own clock when it was struck: that of its newest beat by then.

    Args:
        evidence: What is known of the guest.

    Returns:
        Seconds; 0 if no beat was seen.
    """
    struck = _struck(evidence)
    newest = [0]
    for trail in evidence.trails.values():
        batch = bisect_right(trail.by, struck) - 1
        newest += [trail.stamps[_end(trail, batch) - 1]] if batch >= 0 else []
    return max(newest) / 1e9


def _stamp(line: str) -> float | None:
    if not line.startswith("["):
        return None
    try:
        return float(line[1:].partition("]")[0])
    except ValueError:
        return None


def _struck(evidence: Evidence) -> float:
    known = evidence.disruption
    return known.at if isinstance(known, Happened) else evidence.baseline.ended


def _vcpu(trail: Trail, window: Window, baseline: Window, bin_s: float) -> VcpuTimeline:
    lag = _lag(trail, baseline)
    seen = (
        (trail.by[i], _end(trail, i) - trail.start[i])
        for i in range(bisect_left(trail.by, window.began), len(trail.by))
    )
    made = ((stamp / 1e9 + lag, 1) for stamp in trail.stamps) if lag is not None else ()
    quiet, gap = longest(trail, baseline), longest_gap(trail, baseline)
    return VcpuTimeline(
        vcpu=trail.vcpu,
        l0=_binned(seen, window, bin_s),
        guest=_binned(made, window, bin_s),
        baseline_l0_ms=(_ms(quiet.least), _ms(quiet.most)),
        baseline_guest_ms=_ms(gap.ns / 1e9),
    )


def _lag(trail: Trail, baseline: Window) -> float | None:
    """Return what to add to the guest's clock for L0's: the look that came soonest after a beat."""
    first = bisect_left(trail.by, baseline.began)
    stop = bisect_left(trail.by, baseline.ended)
    return min(
        (trail.by[i] - trail.stamps[_end(trail, i) - 1] / 1e9 for i in range(first, stop)),
        default=None,
    )


def _end(trail: Trail, batch: int) -> int:
    follows = batch + 1 < len(trail.start)
    return trail.start[batch + 1] if follows else len(trail.stamps)


def _binned(events: Iterable[tuple[float, int]], window: Window, bin_s: float) -> tuple[int, ...]:
    bins = [0] * math.ceil(window.length / bin_s - 1e-9)
    for at, count in events:
        n = math.floor((at - window.began) / bin_s)
        if 0 <= n < len(bins):
            bins[n] += count
    return tuple(bins)


def _between(window: Window, struck: float) -> tuple[float, float]:
    return _ms(window.began - struck), _ms(window.ended - struck)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
