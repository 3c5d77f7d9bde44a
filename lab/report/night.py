# SPDX-License-Identifier: Apache-2.0
"""One night's run as it goes: what is done of it, how long the rest takes, what is remembered."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from lab.errors import ConfigError
from lab.report.files import load_document, write_document
from lab.report.fragments import file_name
from lab.report.record import Document, PlannedCell, RunHeader, Utc
from lab.report.words import seconds

STATE = "nightly.json"
_UNKNOWN_S = 40.0  # for a cell, where nothing at all is known


class Night(Document):
    """What a nightly writes down before it begins, and removes when it has come to its end."""

    run_id: str
    reports: str
    tier: str
    began: Utc
    pid: int
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a ladder is; `known` of the `left` cells have a duration in the history."""

    done: int
    planned: int
    left_s: float
    known: int

    def __str__(self) -> str:
        left = self.planned - self.done
        told = f"{self.done} of {self.planned} cells, about {seconds(self.left_s)} left"
        return told if self.known == left else f"{told} ({left - self.known} of {left} are guesses)"


def remembered(state: Path) -> Night | None:
    """Give the night that did not come to its end, if there is one that can be read."""
    path = state / STATE
    try:
        return load_document(path, Night) if path.exists() else None
    except ConfigError:  # cut short, or a newer lab's: nothing to go on with
        return None


def remember(state: Path, night: Night) -> None:
    """Write down that a night begins."""
    write_document(state / STATE, night)


def forget(state: Path) -> None:
    """Note that it has come to its end."""
    (state / STATE).unlink(missing_ok=True)


def folder_of(reports: Path, run_id: str) -> Path | None:
    """Find the folder of a run; None while it has made none."""
    found = sorted(reports.glob(f"*-{run_id}/header.json"))
    return found[-1].parent if found else None


def progress(folder: Path, durations: Mapping[str, float], *, since: datetime) -> Progress:
    """Say how far the run in `folder` is.

    Args:
        folder: The run's.
        durations: Cell id to seconds, from the history.
        since: When this process began: what ended after it says how fast this machine is now.
    """
    header = load_document(folder / "header.json", RunHeader)
    left = [cell for cell in header.planned if not _ended(folder, cell)]
    usual = _usual(folder, header.planned, durations, since)
    return Progress(
        done=len(header.planned) - len(left),
        planned=len(header.planned),
        left_s=sum(durations.get(cell.id, usual) for cell in left),
        known=sum(cell.id in durations for cell in left),
    )


def _ended(folder: Path, cell: PlannedCell) -> bool:
    return (folder / "cells" / f"{file_name(cell.key)}.json").exists()


def _usual(
    folder: Path, planned: Sequence[PlannedCell], durations: Mapping[str, float], since: datetime
) -> float:
    """Give the seconds for a cell of which nothing is known: as others of this run take."""
    if known := [durations[cell.id] for cell in planned if cell.id in durations]:
        return statistics.mean(known)
    stamps = sorted(path.stat().st_mtime for path in (folder / "cells").glob("*.json"))
    fresh = [stamp for stamp in stamps if stamp >= since.timestamp()]
    if not fresh:
        return _UNKNOWN_S
    return max(0.0, fresh[-1] - since.timestamp()) / len(fresh)
