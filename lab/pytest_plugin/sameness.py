# SPDX-License-Identifier: Apache-2.0
"""A run is resumed only as the same experiment: else its cells would be of two."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from lab.config.host_request import HostRequest
from lab.config.model import Cell
from lab.pytest_plugin.run import Run
from lab.pytest_plugin.turns import turn_of
from lab.record.model import CellRecord, Provenance
from lab.record.sameness import differing
from lab.record.shards import assemble
from lab.runner.lab_session import LabSession, opened
from lab.runner.provenance import expected

_MOST = 12  # lines that are shown


def insist_same(items: Iterable[pytest.Item], run: Run) -> None:
    """Require that the rest of a stopped run would come about as what it has already.

    Args:
        items: The tests that are left; what they boot is built.
        run: The run that resumes it.

    Raises:
        UsageError: It would not; the message has each thing that differs, then and now.
        LabError: libvirt does not answer.
    """
    left = [turn[0] for item in items if (turn := turn_of(item))]
    if run.before is None or not left:
        return
    folder = next(item.path.parent for item in items if turn_of(item))
    cells = {cell.id: cell for cell in run.cells(folder)}
    judged = [record for record in assemble(run.before).cells if record.verdict is not None]
    if not judged:
        return
    with opened(run.lab(folder)) as lab_session:
        found = dict.fromkeys(_differing(judged, cells, left, lab_session))
    if found:
        raise pytest.UsageError(refusal(run.before, list(found)))


def refusal(before: Path, found: list[str]) -> str:
    """Return why a run is not resumed.

    Args:
        before: The stopped run's folder.
        found: What differs.
    """
    more = [f"and {len(found) - _MOST} more"] if len(found) > _MOST else []
    lines = "\n  ".join((*found[:_MOST], *more))
    return (
        f"--lab-resume: {before.name} cannot be resumed, for the rest would be another "
        f"experiment:\n  {lines}\nput it back as it was, or begin a new run: type the same "
        "without --lab-resume ('lab nightly --fresh' for a night)"
    )


def _differing(
    judged: Iterable[CellRecord],
    cells: dict[str, Cell],
    left: Iterable[Cell],
    lab_session: LabSession,
) -> Iterator[str]:
    built = {_booted(cell.request) for cell in left}
    now: dict[tuple[object, ...], Provenance] = {}
    for record in judged:
        cell = cells.get(record.id)
        if cell is None or _booted(cell.request) not in built:
            continue  # no other cell boots that kernel
        if record.provenance is None:
            yield f"{record.id} does not say by what it came about: an older lab ran it"
            continue
        key = (*_booted(cell.request), cell.accel)
        if key not in now:
            now[key] = expected(lab_session, cell)
        yield from differing(record.provenance, now[key])


def _booted(request: HostRequest) -> tuple[object, ...]:
    return request.kernel, request.arch, request.through
