# SPDX-License-Identifier: Apache-2.0
"""A whole run verified: its hash tree and who signed it, its records, and each cell's evidence."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.errors import ConfigError, InfraError, LabError
from lab.record.classify import AS_EXPECTED, CANNOT_TELL, NOT_AS_EXPECTED
from lab.record.files import load as load_record
from lab.record.model import RunRecord
from lab.record.shards import assemble
from lab.verify import manifest
from lab.verify.cell import State, VerifiedCell, verified
from lab.verify.files import Difference, changed, of_cell, unlike_record
from lab.verify.manifest import Manifest
from lab.verify.plain_files import files_below, read_regular
from lab.verify.signature import signer

_NO_TREE = "it has no hash tree: it did not end, or was written before there was one"
_FRAGMENTS = tuple(part for part in manifest.PARTS if part != "evidence")
_DIFFERS = frozenset({State.EVIDENCE, State.RECORD, State.JUDGE})


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedRun:
    """What verifying a run came to.

    Attributes:
        folder: The run's.
        root: The digest over all of it; "" without a hash tree.
        signed_by: The fingerprint of the key that signed that; "" if nobody did.
        differs: What was changed that is no cell's, in words.
        untold: What cannot be told, in words.
        cells: What came of each cell.
    """

    folder: Path
    root: str = ""
    signed_by: str = ""
    differs: tuple[str, ...] = ()
    untold: tuple[str, ...] = ()
    cells: tuple[VerifiedCell, ...] = ()

    @property
    def status(self) -> int:
        """The exit status: 0 all is the same, 1 something differs, 125 cannot tell."""
        states = {cell.state for cell in self.cells}
        if self.differs or states & _DIFFERS:
            return NOT_AS_EXPECTED
        if self.untold or State.UNTOLD in states or State.VERIFIED not in states:
            return CANNOT_TELL
        return AS_EXPECTED


def verify(folder: Path, *, trusted: str = "") -> VerifiedRun:
    """Judge all cells of a run again, and compare its files with its hash tree.

    Args:
        folder: The run's.
        trusted: The fingerprint of the key that has to have signed it; "" if any may.

    Returns:
        What came of it; no error of the run's is raised.
    """
    found = _Found(folder)
    found.look_at_tree()
    found.look_at_signature(trusted)
    try:
        found.look_at_files()
    except (LabError, RecursionError) as e:
        found.untold.append(str(e).partition("\n")[0])
    return VerifiedRun(
        folder=folder,
        root=found.tree.root if found.tree else "",
        signed_by=found.signed_by,
        differs=tuple(found.differs),
        untold=tuple(found.untold),
        cells=tuple(found.cells),
    )


class _Found:
    """What was found so far."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tree: Manifest | None = None
        self.signed_by = ""
        self.differs: list[str] = []
        self.untold: list[str] = []
        self.cells: list[VerifiedCell] = []

    def look_at_tree(self) -> None:
        if not os.path.lexists(self.folder / manifest.NAME):
            self.untold.append(_NO_TREE)
            return
        try:
            self.tree = manifest.load(self.folder)
        except ConfigError as e:
            self.differs.append(str(e))

    def look_at_signature(self, trusted: str) -> None:
        try:
            self.signed_by = signer(self.folder / manifest.NAME)
        except ConfigError as e:
            self.differs.append(str(e))
            return
        except InfraError as e:
            self.untold.append(str(e))
            return
        if trusted and not self.signed_by:
            self.untold.append(f"it is not signed, and a signature by {trusted} was wanted")
        elif trusted and self.signed_by != trusted:
            told = f"it is signed by another key, {self.signed_by}, and {trusted} was wanted"
            self.differs.append(told)

    def look_at_files(self) -> None:
        """Compare files with the tree, run.json with what it was made from, and judge each cell."""
        loose = list(changed(self.folder, self.tree))
        self.differs += map(str, loose)
        read_regular(self.folder / "run.json")
        record, made_from = load_record(self.folder), _assembled(self.folder)
        parts = {cell.key: cell for cell in made_from.cells} if made_from else {}
        for cell in record.cells:
            of_record, of_evidence = of_cell(cell, loose)
            own = {str(each) for each in (*of_record, *of_evidence)}
            self.differs = [each for each in self.differs if each not in own]
            if parts.get(cell.key, cell) != cell:
                told = Difference("run.json", f"has another record of {cell.key} than its own file")
                of_record = (*of_record, told)
            more = (each for each in unlike_record(self.folder, cell) if str(each) not in own)
            of_evidence = (*of_evidence, *more)
            self.cells.append(
                verified(self.folder, cell, of_record=of_record, of_evidence=of_evidence)
            )
        self.differs += _beside(record, made_from) if made_from else ()


def _assembled(folder: Path) -> RunRecord | None:
    """Put run.json together again; None where that would read what is no file of the run's."""
    names = [name for part in _FRAGMENTS for name in files_below(folder, part)]
    if any(not stat.S_ISREG((folder / name).lstat().st_mode) for name in names):
        return None
    return assemble(folder)


def _beside(record: RunRecord, made_from: RunRecord) -> Iterator[str]:
    for name in sorted(RunRecord.model_fields.keys() - {"cells"}):
        if getattr(record, name) != getattr(made_from, name):
            yield f"run.json has other {name} than the files that it was made from"
    there = {cell.key for cell in record.cells}
    for cell in made_from.cells:
        if cell.key not in there:
            yield f"run.json has no record of {cell.key}"
