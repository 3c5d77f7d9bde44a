# SPDX-License-Identifier: Apache-2.0
"""Resuming a run that was killed: which one it is, and what of it is left to run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from lab.config.model import Cell
from lab.pytest_plugin.turns import name_of
from lab.record.files import load_document
from lab.record.model import Outcome, RunHeader
from lab.record.shards import assemble

_FINAL = frozenset(Outcome) - {Outcome.ERROR, Outcome.SKIPPED}


def stopped_run(reports: Path, option: str) -> Path | None:
    """Return the folder of the run to resume.

    Args:
        reports: The folder of all runs.
        option: What --lab-resume says: a run's id, 'last', or "" for none.

    Raises:
        UsageError: There is no such run.
    """
    if not option:
        return None
    pattern = "*" if option == "last" else f"*{option}*"
    found = [
        path.parent
        for path in sorted(reports.glob(f"{pattern}/header.json"))
        if option != "last" or not (path.parent / "run.json").exists()
    ]
    if not found:
        raise pytest.UsageError(
            f"--lab-resume: no run '{option}' in {reports}; "
            "'last' is the newest that did not come to its end"
        )
    return found[-1]


def already_run(
    folder: Path, items: Iterable[pytest.Item], configuration: str
) -> list[pytest.Item]:
    """Return the tests whose outcome a stopped run has; what broke or was skipped is run again.

    So is a cell whose twin is: the two show something only together.

    Args:
        folder: The stopped run's.
        items: The tests that were chosen now.
        configuration: What the cells and the kernel are now: `configuration_of`.

    Raises:
        UsageError: The stopped run had other cells, or another kernel.
    """
    header = load_document(folder / "header.json", RunHeader)
    if header.versions.get("configuration") != configuration:
        raise pytest.UsageError(
            f"--lab-resume: {folder.name} ran other cells than these, or another kernel; "
            "type the same options, or begin a new run without --lab-resume"
        )
    before = assemble(folder)
    final = {cell.key for cell in before.cells if cell.outcome in _FINAL}
    open_ids = {cell.id for cell in before.cells if cell.key not in final}
    apart = {
        name
        for pair in (header.plan.controls.items() if header.plan else ())
        if open_ids & {*pair}
        for name in pair
    }
    final -= {cell.key for cell in before.cells if cell.id in apart}
    final |= {check.id for check in before.checks if check.outcome in _FINAL}
    return [item for item in items if name_of(item) in final]


def configuration_of(cells: Sequence[Cell], kernel: str) -> str:
    """Return a digest of what decides the cells of a run: a resumed run must have the same.

    Args:
        cells: All cells of the tier.
        kernel: The source tree of --lab-kernel; "" if there is none.

    Returns:
        16 hexadecimal digits.
    """
    text = "\n".join([kernel, *sorted(repr(cell) for cell in cells)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
