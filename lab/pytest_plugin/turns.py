# SPDX-License-Identifier: Apache-2.0
"""Which cell a test runs, and for which time; pure."""

from __future__ import annotations

import pytest

from lab.config.model import Cell
from lab.record.plan import planned


def cell_of(item: pytest.Item) -> Cell | None:
    """Return the cell that a test runs.

    Args:
        item: The test.

    Returns:
        Its parameter `cell`; None if it has none.
    """
    spec = getattr(item, "callspec", None)
    cell = spec.params.get("cell") if spec else None
    return cell if isinstance(cell, Cell) else None


def turn_of(item: pytest.Item) -> tuple[Cell, int] | None:
    """Return the cell that a test runs, and which repeat of it.

    Args:
        item: The test.

    Returns:
        The cell and its repeat, from 1; None if the test runs no cell.
    """
    cell = cell_of(item)
    spec = getattr(item, "callspec", None)
    return (cell, spec.params.get("repeat", 1)) if cell is not None and spec is not None else None


def key_of(cell: Cell, repeat: int) -> str:
    """Return the key of one repeat of a cell, as a record has it: `ID`, `ID#2`, `ID#3`.

    Args:
        cell: The cell.
        repeat: Which repeat, from 1.
    """
    return planned(cell, repeat=repeat).key


def name_of(item: pytest.Item) -> str:
    """Return the name of a test in a record: its cell's key, or its own id if it runs none.

    Args:
        item: The test.
    """
    turn = turn_of(item)
    return key_of(*turn) if turn else item.nodeid
