# SPDX-License-Identifier: Apache-2.0
"""The files of a run as they lie there, against its hash tree and the digests in its records."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.errors import ConfigError
from lab.record.model import CellRecord
from lab.verify.manifest import Manifest, cell_parts, files_of
from lab.verify.plain_files import digest_of, printable, why_not_inside


@dataclass(frozen=True, slots=True)
class Difference:
    """One file that is not what it was: its path in the run's folder, and what is wrong."""

    file: str
    why: str

    def __str__(self) -> str:
        return printable(f"{self.file} {self.why}")


def changed(folder: Path, manifest: Manifest | None) -> tuple[Difference, ...]:
    """Compare the files of a run with its hash tree.

    Args:
        folder: The run's.
        manifest: The hash tree; None if there is none.

    Returns:
        What was changed, is missing, or is there besides; without a hash tree, what nobody may
        read.
    """
    known = manifest.digests if manifest else {}
    there = dict.fromkeys(files_of(folder))
    found = []
    for name in dict.fromkeys([*known, *there]):
        why = _why(folder, name, known.get(name), listed=manifest is not None)
        found += [Difference(name, why)] if why else []
    return tuple(found)


def _why(folder: Path, name: str, digest: str | None, *, listed: bool) -> str:
    if why := why_not_inside(folder, name):
        return why
    if listed and digest is None:
        return "is in no hash tree of the run"
    if not os.path.lexists(folder / name):
        return "is missing"
    try:
        now = digest_of(folder / name)
    except ConfigError as e:
        return str(e).partition(": ")[2]
    return "" if digest in {None, now} else "was changed"


def of_cell(
    cell: CellRecord, differences: Sequence[Difference]
) -> tuple[tuple[Difference, ...], tuple[Difference, ...]]:
    """Choose what was changed of one cell.

    Args:
        cell: The cell.
        differences: What was changed of the run.

    Returns:
        Of its record, and of its evidence.
    """
    record, *evidence = cell_parts(cell.key, cell.evidence)
    return (
        tuple(d for d in differences if d.file == record),
        tuple(d for d in differences if any(d.file.startswith(f"{e}/") for e in evidence)),
    )


def unlike_record(folder: Path, cell: CellRecord) -> Iterator[Difference]:
    """Compare the evidence of a cell with the digests that its record has of it.

    Args:
        folder: The run's.
        cell: The cell.

    Yields:
        Files that are not what they were when the cell ended.
    """
    digests: Mapping[str, str] = cell.digests
    for name, digest in digests.items():
        path = f"{cell.evidence}/{name}"
        if why := _why(folder, path, digest, listed=True):
            yield Difference(path, why)
