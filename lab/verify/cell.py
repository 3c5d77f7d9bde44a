# SPDX-License-Identifier: Apache-2.0
"""One cell verified: its files, its record, and whether its evidence gives that record again."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from lab.errors import ConfigError
from lab.record.model import CellRecord
from lab.verify.account import differences
from lab.verify.evidence_file import EVIDENCE_VERSION, NAME, OtherVersionError, load
from lab.verify.files import Difference
from lab.verify.plain_files import why_not_inside
from lab.verify.source import source_digest


class State(StrEnum):
    """What verifying came to; of several, the first here is said."""

    EVIDENCE = "evidence changed"
    RECORD = "record changed"
    JUDGE = "judge changed"
    UNTOLD = "cannot be verified"
    VERIFIED = "verified"
    UNJUDGED = "not judged"  # the run had no verdict on it: there is none to verify


@dataclass(frozen=True, slots=True)
class VerifiedCell:
    """What came of one cell.

    Attributes:
        cell: Its key.
        state: What verifying came to.
        reasons: Why, in words; each names a file or a figure.
        took_s: How long it took, in seconds.
    """

    cell: str
    state: State
    reasons: tuple[str, ...] = ()
    took_s: float = 0.0


def verified(
    folder: Path,
    cell: CellRecord,
    *,
    of_record: tuple[Difference, ...],
    of_evidence: tuple[Difference, ...],
) -> VerifiedCell:
    """Judge a cell again by its evidence.

    Args:
        folder: The run's.
        cell: Its record.
        of_record: What is changed of its record's file.
        of_evidence: What is changed of its evidence.

    Returns:
        Whether verdict, check and every figure come out the same; if not, what was changed.
    """
    began = time.monotonic()
    came, again = _again(folder, cell)
    state = _state(cell, came, again, bool(of_record), bool(of_evidence))
    reasons = (*map(str, of_evidence), *map(str, of_record), *again)
    if state is State.JUDGE:
        reasons = (*reasons, _judges(cell))
    return VerifiedCell(cell.key, state, reasons, time.monotonic() - began)


def _again(folder: Path, cell: CellRecord) -> tuple[State, tuple[str, ...]]:
    """Return VERIFIED with what differs, or why nothing could be judged."""
    if cell.verdict is None or not cell.evidence or cell.children:
        return State.UNJUDGED, ()
    name = f"{cell.evidence}/{NAME}"
    if why := why_not_inside(folder, name):
        return State.UNTOLD, (f"{name} {why}",)
    if not os.path.lexists(folder / name) and NAME not in cell.digests:
        return State.UNTOLD, (f"written before evidence version {EVIDENCE_VERSION}",)
    try:
        return State.VERIFIED, differences(cell, load(folder / name))
    except OtherVersionError as e:
        why = str(e).partition(": ")[2]
    except ConfigError as e:
        why = str(e)
    except Exception as e:  # noqa: BLE001 - evidence of others may make the judge do anything
        why = f"{name} makes the judge fail: {type(e).__name__}: {e}"
    return State.UNTOLD, (why,)


def _state(
    cell: CellRecord, came: State, again: tuple[str, ...], record: bool, evidence: bool
) -> State:
    if evidence:
        return State.EVIDENCE
    if record:
        return State.RECORD
    if came is not State.VERIFIED:
        return came
    if not again:
        return State.VERIFIED
    return State.RECORD if _same_judge(cell) else State.JUDGE


def _same_judge(cell: CellRecord) -> bool:
    return cell.provenance is not None and cell.provenance.lab_source == source_digest()


def _judges(cell: CellRecord) -> str:
    then = cell.provenance
    if then is None:
        return "the record does not say which lab judged it"
    commit = f"commit {then.lab_commit[:12]}" if then.lab_commit else "no commit"
    changes = " with changes" if then.lab_dirty else ""
    return f"it was judged by another lab: {commit}{changes}, code {then.lab_source[:12]}"
