# SPDX-License-Identifier: Apache-2.0
"""The ladder as text, for `lab ladder`: expectations, and results if there are any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from lab.record.classify import Standing, standing
from lab.record.labels import milliseconds, result
from lab.record.model import CellRecord
from lab.report.grid import C, lay_out

_STYLE = {
    Standing.EXPECTED: "green",
    Standing.PRODUCT: "bold red",
    Standing.LAB: "bold yellow",
    Standing.ABSENT: "dim",
}


def ladder_table(
    cells: Sequence[C],
    *,
    expected: Mapping[str, str] | None = None,
    results: Mapping[str, CellRecord] | None = None,
) -> Table:
    """Lay the ladder out as a table for a terminal; it says the same without colour.

    Args:
        cells: The cells, in any order.
        expected: Cell id to a word of expectation.
        results: Cell id to its result, for those that ran.

    Returns:
        The table.
    """
    grid = lay_out(cells)
    table = Table(box=box.SIMPLE_HEAD, show_lines=True, pad_edge=False)
    for name in grid.side:
        table.add_column(name, overflow="fold")
    for column in grid.columns:
        table.add_column(column, overflow="fold")
    before: tuple[str, ...] = ("",) * len(grid.side)
    for row in grid.rows:
        same = 0
        while same < len(before) and before[same] == row.labels[same]:
            same += 1
        labels = ["" if i < same else Text(label) for i, label in enumerate(row.labels)]
        boxes = [
            Text("\n").join(_lines(cell, expected or {}, results or {}) for cell in box_)
            for box_ in row.boxes
        ]
        table.add_row(*labels, *boxes)
        before = row.labels
    return table


def _lines(cell: C, expected: Mapping[str, str], results: Mapping[str, CellRecord]) -> Text:
    want = expected.get(cell.id, "")
    got = results.get(cell.id)
    if got is None:
        return Text(want or cell.id)
    silence = got.verdict.longest_silence_ms if got.verdict else None
    lines = Text(result(got), style=_STYLE[standing(got)])
    lines.append(f"\nexpects {want}" if want else "", style="default")
    lines.append(f"\n{milliseconds(silence)}" if silence is not None else "", style="default")
    return lines
