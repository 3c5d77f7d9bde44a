# SPDX-License-Identifier: Apache-2.0
"""Cells laid out as the ladder: what they run on down the side, disruptions across."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

SIDE = ("arch", "accel", "kernel", "mode", "guest", "vmm")
ACROSS = "disruption"


class LadderCell(Protocol):
    """Anything that has a place on the ladder."""

    @property
    def id(self) -> str:
        """The cell's name."""

    @property
    def dimensions(self) -> Mapping[str, object]:
        """Its place: dimension to value."""


C = TypeVar("C", bound=LadderCell)


@dataclass(frozen=True, slots=True)
class Row(Generic[C]):
    """One line of the grid: its labels, and for each column the cells that stand there."""

    labels: tuple[str, ...]
    boxes: tuple[tuple[C, ...], ...]


@dataclass(frozen=True, slots=True)
class Grid(Generic[C]):
    """The ladder as a table; `side` names the labels of a row."""

    side: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[Row[C], ...]


def lay_out(cells: Iterable[C]) -> Grid[C]:
    """Lay cells out; rows are sorted, columns come in order of appearance, control first."""
    cells = list(cells)
    columns = sorted(dict.fromkeys(_value(c, ACROSS) for c in cells), key=lambda c: c != "none")
    boxes: dict[tuple[str, ...], dict[str, list[C]]] = {}
    for cell in cells:
        row = boxes.setdefault(tuple(_value(cell, name) for name in SIDE), {})
        row.setdefault(_value(cell, ACROSS), []).append(cell)
    rows = tuple(
        Row(labels, tuple(tuple(boxes[labels].get(column, ())) for column in columns))
        for labels in sorted(boxes)
    )
    return Grid(SIDE, tuple(columns), rows)


def apart(cell: LadderCell, box: Sequence[LadderCell]) -> str:
    """Return what tells a cell from the others of its box: values without an axis that differ."""
    others = [name for name in cell.dimensions if name not in {*SIDE, ACROSS}]
    parts = (
        f"{name} {_value(cell, name)}"
        for name in others
        if _value(cell, name) not in {"?", ""} and len({_value(c, name) for c in box}) > 1
    )
    return ", ".join(parts) or (cell.id if len(box) > 1 and cell is not box[0] else "")


def _value(cell: LadderCell, name: str) -> str:
    value = cell.dimensions.get(name)
    return "?" if value is None else str(value)
