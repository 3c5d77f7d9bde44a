# SPDX-License-Identifier: Apache-2.0
"""A run's folder while it runs: each cell's own file, each worker's own file, and the merge.

Nothing here is shared between processes but the folder, so any worker may die at any point.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import reduce
from itertools import count
from pathlib import Path
from urllib.parse import unquote

from lab.errors import ConfigError, InfraError
from lab.record import tries
from lab.record.controls import with_their_twins, with_what_is_lacking
from lab.record.files import file_name, load_document, write_document
from lab.record.model import (
    NO_RECORD,
    CellRecord,
    CheckRecord,
    EnvironmentRecord,
    Outcome,
    PlannedCell,
    RunHeader,
    RunRecord,
    TurnRecord,
    merged,
)


def begin(reports: Path, header: RunHeader) -> Path:
    """Make the folder of a run.

    Args:
        reports: The folder of all runs; made if it is missing.
        header: The run, with all cells that it will run.

    Returns:
        `<reports>/<UTC>-<run id>`, with the header in it.

    Raises:
        InfraError: It cannot be made, or is there already.
    """
    folder = reports / f"{header.started:%Y%m%dT%H%M%SZ}-{header.run_id}"
    try:
        for part in ("cells", "checks", "environment", "evidence"):
            (folder / part).mkdir(parents=True)
    except OSError as e:
        raise InfraError(f"{folder}: cannot be made: {e.strerror}") from e
    write_document(folder / "header.json", header)
    return folder


def write_cell(
    folder: Path,
    cell: CellRecord,
    *,
    again: bool = False,
    ran: tuple[datetime, str] | None = None,
) -> Path:
    """Write a cell that has ended; one that was tried before under this key shows every try.

    Args:
        folder: The run's folder.
        cell: The cell.
        again: Whether it was retried in one sitting: see `tries`.
        ran: When it began, and on which worker, of one that has ended just now; else None.

    Returns:
        Its file.
    """
    if ran is not None:
        turn = TurnRecord(began=ran[0], ended=datetime.now(UTC), worker=ran[1])
        cell = cell.model_copy(update={"turn": turn})
    path = folder / "cells" / f"{file_name(cell.key)}.json"
    if path.exists():
        cell = tries.after(_cell(path), cell, again=again)
    elif again:
        cell = tries.after_none(cell)
    write_document(path, cell)
    return path


def write_check(folder: Path, check: CheckRecord, *, again: bool = False) -> Path:
    """Write a test beside the cells that has ended; one that was tried before shows every try.

    Args:
        folder: The run's folder.
        check: The test.
        again: Whether it was retried in one sitting: see `tries`.

    Returns:
        Its file.
    """
    path = folder / "checks" / f"{file_name(check.id)}.json"
    if path.exists():
        check = tries.check_after(_check(path), check, again=again)
    elif again:
        check = tries.after_none(check)
    write_document(path, check)
    return path


def note_environment(folder: Path, environment: EnvironmentRecord, *, worker: str) -> Path:
    """Write what one worker knows of the machine and the builds; it may do so again, with more.

    Args:
        folder: The run's folder.
        environment: What it knows.
        worker: Its name, as "gw0".

    Returns:
        The worker's file.

    Raises:
        InfraError: It could not be written.
    """
    path = folder / "environment" / f"{file_name(worker)}.json"
    write_document(path, environment)
    return path


def free_evidence(folder: Path, key: str) -> str:
    """Choose a folder for evidence that no other try of a cell has: the record of that may count.

    Args:
        folder: The run's folder.
        key: The cell's key.

    Returns:
        The folder of evidence, relative to the run's.
    """
    tries = (f"evidence/{file_name(key)}{'' if n == 1 else f'~try{n}'}" for n in count(1))
    return next(each for each in tries if not (folder / each).exists())


def assemble(folder: Path) -> RunRecord:
    """Merge what the workers of a run have written.

    A planned cell or test without a file, and a file that cannot be read, become errors: what left
    no record is never taken for a pass. Neither is a survival whose control is not there.

    Args:
        folder: The run's folder.

    Returns:
        The run, as far as it has been written.

    Raises:
        ConfigError: This is no run's folder, or its header is damaged.
    """
    header = load_document(folder / "header.json", RunHeader)
    found = {cell.key: cell for cell in map(_cell, sorted((folder / "cells").glob("*.json")))}
    planned = {cell.key: _left_no_record(cell) for cell in header.planned}
    extra = [key for key in found if key not in planned]
    checks = {check.id: check for check in map(_check, sorted((folder / "checks").glob("*.json")))}
    missing = {
        i: CheckRecord(id=i, outcome=Outcome.ERROR, first_cause=NO_RECORD)
        for i in header.checks_planned
    }
    seen = [
        load_document(path, EnvironmentRecord)
        for path in sorted((folder / "environment").glob("*.json"))
    ]
    cells = tuple(({**planned, **found})[key] for key in [*planned, *extra])
    return RunRecord(
        **{name: getattr(header, name) for name in RunHeader.model_fields},
        environment=reduce(merged, seen, EnvironmentRecord()),
        cells=with_what_is_lacking(cells, header.plan),
        checks=with_their_twins(tuple((missing | checks).values()), cells, header.plan),
    )


def _cell(path: Path) -> CellRecord:
    try:
        return load_document(path, CellRecord)
    except ConfigError as e:
        return CellRecord(id=unquote(path.stem), outcome=Outcome.ERROR, first_cause=str(e))


def _check(path: Path) -> CheckRecord:
    try:
        return load_document(path, CheckRecord)
    except ConfigError as e:
        return CheckRecord(id=unquote(path.stem), outcome=Outcome.ERROR, first_cause=str(e))


def _left_no_record(cell: PlannedCell) -> CellRecord:
    return CellRecord(
        **{name: getattr(cell, name) for name in PlannedCell.model_fields},
        outcome=Outcome.ERROR,
        first_cause=NO_RECORD,
    )
