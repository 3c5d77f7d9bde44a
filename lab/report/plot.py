# SPDX-License-Identifier: Apache-2.0
"""Where the lines of a plot go; pure. Across in per cent, so that a page of any width has them.

Text is not scaled with the drawing: a phone shows the same letters as a wall.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lab.history.published import BANDS
from lab.record.labels import between, milliseconds
from lab.record.model import TimelineRecord, VcpuFigures, VcpuTimeline, VerdictRecord

HIGH = 22  # of a row of bars; the unit of `Row.bars`
_CONTROL = "none"  # the disruption of a cell that nothing is done to
_TICKS = 9
_SHORTEST_MS, _LONGEST_MS = 1.0, 100_000.0


@dataclass(frozen=True, slots=True)
class Place:
    """A text at `x` per cent, and the side of `x` that it is on."""

    x: float
    text: str
    anchor: str = "middle"


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch across, in per cent."""

    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Row:
    """The beats of one vCPU by one clock: bars as a path in a box of `bins` by HIGH."""

    title: str
    note: str
    bins: int
    bars: str
    gap: Stretch | None = None


@dataclass(frozen=True, slots=True)
class SilencePlot:
    """A cell's beats over time; `description` is the plot in words."""

    rows: tuple[Row, ...]
    baseline: Stretch
    struck: float
    done: float | None
    voids: tuple[Stretch, ...]
    labels: tuple[Place, ...]
    ticks: tuple[Place, ...]
    disturbed: bool  # something was done at 0 s
    description: str


@dataclass(frozen=True, slots=True)
class DotPlot:
    """Silences on a logarithmic axis with the published bands; (x, label) for each."""

    now: tuple[tuple[float, str], ...]
    before: tuple[float, ...]
    bands: tuple[Place, ...]
    description: str


def silence_plot(line: TimelineRecord, verdict: VerdictRecord | None) -> SilencePlot:
    """Lay out the silence plot of one cell."""
    bins = max((len(v.l0) for v in line.vcpus), default=0)
    across = _Across(line.began_ms, max(bins, 1) * line.bin_ms)
    figures = {v.vcpu: v for v in verdict.vcpus} if verdict else {}
    struck = across.at(0.0)
    what = next((label for label, at in line.phases if at > line.baseline_ms[0]), "struck")
    disturbed = what != _CONTROL
    what = what if disturbed else "the watch"
    done = None if line.done_ms is None else across.at(line.done_ms)
    labels = [_beside(across.at(line.baseline_ms[0]), "baseline"), _beside(struck, what)]
    rows = [
        row for v in line.vcpus for row in _rows(v, figures.get(v.vcpu), across, bins)
    ]  # fmt: skip
    return SilencePlot(
        rows=tuple(rows),
        baseline=across.stretch(*line.baseline_ms),
        struck=struck,
        done=done if done is not None and done - struck > 0.5 else None,  # noqa: PLR2004 - per cent
        voids=tuple(across.stretch(*void) for void in line.voids),
        labels=tuple(labels),
        ticks=tuple(_ticks(across)),
        disturbed=disturbed,
        description=f"Beats over time, {what} at 0 s. "
        + " ".join(f"{row.title}: {row.note}." for row in rows),
    )


def dot_plot(now: Sequence[float], before: Sequence[float]) -> DotPlot | None:
    """Lay out a distribution of silences, in milliseconds; None if there are none."""
    if not now and not before:
        return None
    every = sorted((*now, *before))
    middle = every[len(every) // 2]
    bands = (Place(_log(band.ms), band.length) for band in BANDS)
    return DotPlot(
        now=tuple((_log(ms), milliseconds(ms)) for ms in sorted(now)),
        before=tuple(dict.fromkeys(round(_log(ms), 1) for ms in before)),
        bands=tuple(bands),
        description=f"Longest silences where the guest lived: {len(now)} of this run, "
        f"{len(before)} earlier ones on this kernel; "
        f"from {milliseconds(every[0])} to {milliseconds(every[-1])}, "
        f"median {milliseconds(middle)}.",
    )


@dataclass(frozen=True, slots=True)
class _Across:
    began: float
    length: float

    def at(self, ms: float) -> float:
        return round(min(100.0, max(0.0, 100 * (ms - self.began) / self.length)), 2)

    def stretch(self, began: float, ended: float) -> Stretch:
        x = self.at(began)
        return Stretch(x, round(max(0.0, self.at(ended) - x), 2))


def _rows(v: VcpuTimeline, figures: VcpuFigures | None, across: _Across, bins: int) -> list[Row]:
    gap, began = None, figures.began_ms if figures else None
    if figures and figures.longest_l0_ms and began is not None:
        gap = across.stretch(began, began + figures.longest_l0_ms)
    seen = between(figures.longest_l0_ms, figures.most_l0_ms) if figures else None
    own = milliseconds(figures.longest_guest_ms) if figures else None
    quiet = between(*v.baseline_l0_ms) if v.baseline_l0_ms else "-"
    titles = f"vCPU {v.vcpu} by L0's clock", f"vCPU {v.vcpu} by its own clock"
    return [
        Row(titles[0], _note(seen, quiet), bins, _bars(v.l0), gap),
        Row(titles[1], _note(own, milliseconds(v.baseline_guest_ms)), bins, _bars(v.guest)),
    ]


def _note(longest: str | None, baseline: str) -> str:
    known = "" if longest is None else f"longest silence {longest}, "
    return f"{known}baseline {baseline}"


def _bars(counts: Sequence[int]) -> str:
    """Draw counts as one outline; a bin with any beat at all is at least one unit high."""
    top = max(counts, default=0)
    path, last = [f"M0 {HIGH}"], HIGH
    for n, count in enumerate(counts):
        y = HIGH - (max(1, round((HIGH - 1) * count / top)) if count else 0)
        if y != last:
            path.append(f"H{n}V{y}")
            last = y
    return "".join([*path, f"H{len(counts)}V{HIGH}Z"])


def _beside(x: float, text: str) -> Place:
    return Place(x, text, "end" if x > 85 else "start")  # noqa: PLR2004 - per cent


def _ticks(across: _Across) -> list[Place]:
    steps = (base * 10**power for power in range(-3, 4) for base in (1, 2, 5))
    step = next((s for s in steps if across.length / 1000 / s <= _TICKS), 10_000)
    first = math.ceil(across.began / 1000 / step)
    last = math.floor((across.began + across.length) / 1000 / step)
    places = [(across.at(n * step * 1000), f"{n * step:g} s") for n in range(first, last + 1)]
    return [Place(x, text) for x, text in places if 2 < x < 98]  # noqa: PLR2004 - per cent


def _log(ms: float) -> float:
    clamped = min(_LONGEST_MS, max(_SHORTEST_MS, ms))
    whole = math.log10(_LONGEST_MS / _SHORTEST_MS)
    return round(2 + 96 * math.log10(clamped / _SHORTEST_MS) / whole, 2)
