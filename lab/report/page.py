# SPDX-License-Identifier: Apache-2.0
"""The page that people open: one file that loads nothing, and more of them for very many cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

from lab.history.counts import Counts
from lab.history.published import BANDS, TCG, placed
from lab.history.trend import CellPast, Past
from lab.record.classify import Standing, exit_status, headline, must_run_gaps, standing_of
from lab.record.groups import Group, grouped
from lab.record.model import RunRecord
from lab.report.detection import curves
from lab.report.grid import SIDE, Grid, Row, lay_out
from lab.report.plot import DotPlot, SilencePlot, dot_plot, silence_plot
from lab.report.render import anchor, templates

INDEX = "index.html"
DETAILED = 250  # cells of which the index has all details
CROWDED = 100  # cells a page, where there are more than that
_HEAD = 4  # labels of a row that make a heading: arch, accel, kernel, mode
_URGENT = (Standing.PRODUCT, Standing.LAB, Standing.ABSENT, Standing.EXPECTED)
_NO_PAST = Past()


@dataclass(frozen=True)
class Sheet:
    """All that the page says of one cell."""

    group: Group
    past: CellPast
    name: str  # of the anchor
    page: str

    @property
    def href(self) -> str:
        """A link to it from the index."""
        return f"#{self.name}" if self.page == INDEX else f"{self.page}#{self.name}"

    @property
    def open(self) -> bool:
        """Whether a reader ought to see it without asking."""
        return self.group.flaky or self.group.standing in {Standing.PRODUCT, Standing.LAB}

    @cached_property
    def plot(self) -> SilencePlot | None:
        """The silence plot of the repeat that counts, if its record has what it takes."""
        cell = self.group.worst
        return silence_plot(cell.timeline, cell.verdict) if cell.timeline else None

    @cached_property
    def dots(self) -> DotPlot | None:
        """The distribution of silences, where the guest lived."""
        return dot_plot(self.group.silences, self.past.silences)

    @cached_property
    def counts(self) -> Counts | None:
        """How often it lived on this kernel build; None where the guest is not expected to live."""
        wanted = self.group.worst.expectation
        hoped = wanted is not None and wanted.kind in {"survives", "xfail"}
        return self.past.counts if hoped and self.past.counts.judged else None

    @property
    def band(self) -> str:
        """Where its longest silence lies among published figures; empty for a lost guest."""
        silences = self.group.silences
        return placed(max(silences)) if silences else ""


@dataclass(frozen=True, slots=True)
class Block:
    """The part of the ladder that is one host: its labels, its rows, and the columns they use."""

    labels: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[Row[Group], ...]


def pages(
    record: RunRecord, past: Past = _NO_PAST, *, gone: Collection[str] = ()
) -> Iterator[tuple[str, str]]:
    """Render the page of a run, and those that its cells overflow to, as (file name, text).

    The index has the whole ladder, and the details of the cells that are not as expected before
    those of others.

    Args:
        record: The run.
        past: What came before it.
        gone: Evidence folders of the record that are not there to be linked to.
    """
    groups = grouped(record, flaky=past.flaky)
    sheets = _sheets(groups, past)
    by_page = {
        name: list(each) for name, each in groupby(sheets.values(), key=lambda sheet: sheet.page)
    }
    grid = lay_out(groups)
    tcg = any(a.name == "tcg" for a in record.environment.accelerators.values())
    common = {
        "run": record,
        "past": past,
        "gone": gone,
        "headline": headline(record),
        "status": exit_status(record),
        "gaps": must_run_gaps(record),
        "counts": Counter(group.word for group in groups),
        "blocks": _blocks(grid),
        "side": SIDE[_HEAD:],
        "sheets": sheets,
        "troubled": [sheet for sheet in sheets.values() if sheet.open],
        "checks": sorted(record.checks, key=lambda check: _URGENT.index(standing_of(check))),
        "curves": curves(one for check in record.checks for one in check.detections),
        "others": [name for name in by_page if name != INDEX],
        "bands": BANDS,
        "tcg": TCG if tcg else "",
    }
    env = templates()
    index, more = env.get_template("index.html.j2"), env.get_template("more.html.j2")
    yield INDEX, index.render(**common, shown=by_page.get(INDEX, []), home="")
    for name, shown in by_page.items():
        if name != INDEX:
            yield name, more.render(**common, shown=shown, home=INDEX)


def index_html(record: RunRecord, past: Past = _NO_PAST) -> str:
    """Render only the page that people open."""
    return next(pages(record, past))[1]


def _sheets(groups: Sequence[Group], past: Past) -> Mapping[str, Sheet]:
    urgent, size = list(groups), DETAILED
    if len(groups) > DETAILED:
        urgent, size = sorted(groups, key=lambda g: _URGENT.index(g.standing) - g.flaky), CROWDED
    found = {}
    for n, group in enumerate(urgent):
        page = INDEX if n < size else f"cells-{n // size + 1}.html"
        found[group.id] = Sheet(group, past.cells.get(group.id, CellPast()), anchor(group), page)
    return found


def _blocks(grid: Grid[Group]) -> tuple[Block, ...]:
    blocks = groupby(grid.rows, key=lambda row: row.labels[:_HEAD])
    return tuple(_block(labels, tuple(rows), grid.columns) for labels, rows in blocks)


def _block(
    labels: tuple[str, ...], rows: tuple[Row[Group], ...], columns: tuple[str, ...]
) -> Block:
    used = [n for n in range(len(columns)) if any(row.boxes[n] for row in rows)]
    trimmed = tuple(Row(row.labels, tuple(row.boxes[n] for n in used)) for row in rows)
    return Block(labels, tuple(columns[n] for n in used), trimmed)
