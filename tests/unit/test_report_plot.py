# SPDX-License-Identifier: Apache-2.0
"""Where the lines of a plot go, what is said of them, and repeats seen as one cell."""

from __future__ import annotations

import pytest

from lab.history.published import BANDS, placed
from lab.record.groups import grouped
from lab.record.model import TimelineRecord, VcpuFigures, VcpuTimeline, VerdictRecord
from lab.report.page import index_html
from lab.report.plot import HIGH, dot_plot, silence_plot
from tests.support.records import LOST, SURVIVED, UNPROVEN, cell, run

LINE = TimelineRecord(
    began_ms=-3000.0,
    bin_ms=100.0,
    baseline_ms=(-3000.0, -10.0),
    done_ms=400.0,
    phases=(("baseline", -3000.0), ("vmm-kill", 0.0), ("after", 400.0)),
    voids=((1000.0, 1500.0),),
    vcpus=(
        VcpuTimeline(
            vcpu=0,
            l0=(100,) * 30 + (0,) * 10 + (50,) * 60,
            guest=(100,) * 100,
            baseline_l0_ms=(0.0, 40.0),
            baseline_guest_ms=2.0,
        ),
    ),
)
FIGURES = VcpuFigures(
    vcpu=0, longest_guest_ms=2.0, longest_l0_ms=1000.0, most_l0_ms=1010.0, began_ms=0.0
)
VERDICT = VerdictRecord(kind="Survived", reason="so", vcpus=(FIGURES,))


def test_plot_places_disruption_baseline_and_gap() -> None:
    plot = silence_plot(LINE, VERDICT)
    assert plot.struck == 30.0
    assert plot.done == 34.0
    assert (plot.baseline.x, plot.baseline.width) == (0.0, 29.9)
    assert [(v.x, v.width) for v in plot.voids] == [(40.0, 5.0)]
    l0, own = plot.rows
    assert l0.gap is not None
    assert (l0.gap.x, l0.gap.width) == (30.0, 10.0)
    assert own.gap is None
    assert [(place.x, place.text) for place in plot.labels] == [
        (0.0, "baseline"),
        (30.0, "vmm-kill"),
    ]
    assert [tick.text for tick in plot.ticks][:4] == ["-2 s", "0 s", "2 s", "4 s"]


def test_bars_are_as_high_as_the_beats_were_many() -> None:
    l0 = silence_plot(LINE, VERDICT).rows[0]
    assert l0.bars == f"M0 {HIGH}H0V1H30V22H40V12H100V{HIGH}Z"


def test_one_beat_among_thousands_is_seen() -> None:
    lone = LINE.model_copy(
        update={"vcpus": (VcpuTimeline(vcpu=0, l0=(5000, 0, 1), guest=(0, 0, 0)),)}
    )
    assert "V21H3" in silence_plot(lone, None).rows[0].bars


def test_what_is_drawn_is_said_in_words() -> None:
    description = silence_plot(LINE, VERDICT).description
    assert "vmm-kill at 0 s" in description
    assert "by L0's clock: longest silence 1.00 s, baseline at most 40.0 ms" in description
    assert "by its own clock: longest silence 2.0 ms, baseline 2.0 ms" in description


def test_a_control_is_not_said_to_be_disturbed() -> None:
    control = LINE.model_copy(update={"phases": (("baseline", -3000.0), ("none", 0.0))})
    plot = silence_plot(control, VERDICT)
    assert not plot.disturbed
    assert plot.labels[1].text == "the watch"
    dimensions = {**cell().dimensions, "disruption": "none"}
    page = index_html(run(cell(timeline=control, dimensions=dimensions)))
    assert "the disruption was ordered" not in page


def test_a_label_at_the_edge_stays_on_the_page() -> None:
    late = LINE.model_copy(update={"began_ms": -9500.0, "baseline_ms": (-9500.0, -10.0)})
    assert [place.anchor for place in silence_plot(late, None).labels] == ["start", "end"]


def test_silences_lie_among_published_figures() -> None:
    assert placed(5) == "within 10 ms (HyperFresh, VEE 2019)"
    assert placed(50).endswith("within 50 ms (Google's fleet, VEE 2018: median)")
    assert placed(57.4).startswith("longer than 50 ms")
    assert placed(60_000) == "longer than 10 s (Azure, memory-preserving maintenance)"
    assert [band.ms for band in BANDS] == sorted(band.ms for band in BANDS)
    assert all(band.link.startswith("https://") for band in BANDS)


def test_a_distribution_has_this_run_and_those_before() -> None:
    dots = dot_plot([100.0, 1.0], [10.0, 10.1, 1000.0])
    assert dots is not None
    assert [text for _, text in dots.now] == ["1.0 ms", "100 ms"]
    assert dots.now[0][0] < dots.before[0] < dots.now[1][0]
    assert "2 of this run, 3 earlier ones" in dots.description
    assert dot_plot([], []) is None


def test_page_warns_beside_figures_that_tcg_is_not_comparable() -> None:
    page = index_html(run(cell()))
    assert "longer than 300 ms (Google&#39;s fleet" in page
    assert page.count("Milliseconds under TCG are not to be compared with these") == 2


LOSS = {"outcome": "failed", "verdict": LOST}


@pytest.mark.parametrize(
    ("repeats", "word", "tally"),
    [
        ([{}], "PASS", ""),
        ([{}, {}, {}], "PASS", "3 of 3"),
        ([{}, LOSS, {}], "FLAKY", "2 of 3"),
        ([LOSS, LOSS], "FAIL", "0 of 2"),
        ([{}, {"outcome": "error", "verdict": UNPROVEN}], "ERROR", "1 of 2"),
        ([{}, {"outcome": "error", "verdict": None}, LOSS], "FLAKY", "1 of 3"),
    ],
)
def test_repeats_are_one_cell_and_the_worst_counts(
    repeats: list[dict[str, object]], word: str, tally: str
) -> None:
    cells = [cell("c", **{"repeat": n, **changes}) for n, changes in enumerate(repeats, 1)]
    (group,) = grouped(run(*cells))
    assert (group.word, group.tally) == (word, tally)
    assert f"{word}</b>" in index_html(run(*cells))


def test_the_lost_have_no_place_in_a_distribution() -> None:
    (group,) = grouped(run(cell("c", verdict=SURVIVED), cell("c", **{"repeat": 2, **LOSS})))
    assert group.silences == (412.0,)
    assert group.longest_ms == 5000.0
    assert group.verdicts == "Survived 1, Lost 1"
