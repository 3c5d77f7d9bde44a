# SPDX-License-Identifier: Apache-2.0
"""The cell that an id names, or the ids that are close to one that names none; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from lab.config.topology import Cell
from lab.errors import ConfigError

_MOST = 3
_PART = 0.75  # parts are short: by the usual 0.6, "nonsense" would be close to "none"


def close_ids(word: str, ids: Sequence[str], most: int = _MOST) -> list[str]:
    """Return the ids that are close to `word`, or that have a part which is close to it.

    Args:
        word: A misspelt id, or a part of one, as in `-k vmm_kil`.
        ids: Ids of cells, whose parts are separated by '-'.
        most: How many to return.

    Returns:
        The closest first; none if nothing is close.
    """
    if whole := get_close_matches(word, ids, most):
        return whole
    parts = sorted({part for each in ids for part in each.split("-")})
    near = get_close_matches(word, parts, 1, _PART)
    return [each for each in ids if near and near[0] in each.split("-")][:most]


def cell_of_id(cell_id: str, cells: Iterable[Cell]) -> Cell:
    """Return the cell of that id.

    Args:
        cell_id: An id, with or without the "#2" that a report adds to that of a repeat.
        cells: Where to look.

    Returns:
        The cell itself, as its topology makes it.

    Raises:
        ConfigError: No cell has it; the hint names those that are close.
    """
    known = {cell.id: cell for cell in cells}
    name = cell_id.partition("#")[0]
    if name in known:
        return known[name]
    near = close_ids(name, list(known))
    hint = f"close to it: {', '.join(near)}" if near else "to list the ids: lab ladder --tier=soak"
    raise ConfigError(f"no topology has a cell {name!r}", hint=hint)
