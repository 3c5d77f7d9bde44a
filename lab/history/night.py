# SPDX-License-Identifier: Apache-2.0
"""One night's run while it goes: progress, time left, and the file by which it resumes."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from lab.errors import ConfigError
from lab.record.files import file_name, load_document, write_document
from lab.record.labels import seconds
from lab.record.model import CheckRecord, Document, RunHeader, Utc

STATE = "nightly.json"
_UNKNOWN_S = 40.0  # for a cell, where nothing at all is known


class Night(Document):
    """What a nightly writes down before it begins, and removes when it has ended."""

    run_id: str
    reports: str
    tier: str
    began: Utc
    pid: int
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a ladder is; `guesses` of what is left have no duration in the history."""

    done: int
    planned: int
    left_s: float
    guesses: int
    checks_done: int = 0
    checks_planned: int = 0

    @property
    def ended(self) -> int:
        """How many cells and tests have ended."""
        return self.done + self.checks_done

    @property
    def left(self) -> int:
        """How many cells and tests have not ended."""
        return self.planned + self.checks_planned - self.ended

    def __str__(self) -> str:
        text = f"{self.done} of {self.planned} cells, "
        if self.checks_planned:
            text += f"{self.checks_done} of {self.checks_planned} tests beside them, "
        text += f"about {seconds(self.left_s)} left"
        return f"{text} ({self.guesses} of {self.left} are guesses)" if self.guesses else text


def remembered(state: Path) -> Night | None:
    """Return the night that did not end, if there is one that can be read.

    Args:
        state: The state folder.

    Returns:
        The night, or None.
    """
    path = state / STATE
    try:
        return load_document(path, Night) if path.exists() else None
    except ConfigError:  # cut short, or a newer lab's: nothing to go on with
        return None


def remember(state: Path, night: Night) -> None:
    """Write down that a night begins.

    Args:
        state: The state folder.
        night: The night.
    """
    write_document(state / STATE, night)


def forget(state: Path) -> None:
    """Note that the night has ended.

    Args:
        state: The state folder.
    """
    (state / STATE).unlink(missing_ok=True)


def folder_of(reports: Path, run_id: str) -> Path | None:
    """Find the folder of a run.

    Args:
        reports: The folder of all runs.
        run_id: The run.

    Returns:
        Its folder; None while it has made none.
    """
    found = sorted(reports.glob(f"*-{run_id}/header.json"))
    return found[-1].parent if found else None


def progress(folder: Path, durations: Mapping[str, float], *, since: datetime) -> Progress:
    """Return how far a run is.

    Args:
        folder: The run's folder.
        durations: Cell id to seconds, from the history.
        since: When this process began: what ended after it shows how fast this machine is now.

    Returns:
        Its progress.
    """
    header = load_document(folder / "header.json", RunHeader)
    cells = {cell.key: cell.id for cell in header.planned}
    left = [key for key in cells if not _file(folder, "cells", key).exists()]
    ended = [_file(folder, "checks", check) for check in header.checks_planned]
    checks = [check for check, path in zip(header.checks_planned, ended, strict=True)
              if not path.exists()]  # fmt: skip
    took = [load_document(path, CheckRecord).duration_s for path in ended if path.exists()]
    usual = _mean([durations[i] for i in cells.values() if i in durations])
    usual = usual or _so_far(folder, since, sum(took)) or _UNKNOWN_S
    beside = _mean([durations[i] for i in checks if i in durations]) or _mean(took) or _UNKNOWN_S
    return Progress(
        done=len(cells) - len(left),
        planned=len(cells),
        left_s=sum(durations.get(cells[key], usual) for key in left)
        + sum(durations.get(check, beside) for check in checks),
        guesses=sum(i not in durations for i in (*(cells[key] for key in left), *checks)),
        checks_done=len(ended) - len(checks),
        checks_planned=len(ended),
    )


def _file(folder: Path, kind: str, key: str) -> Path:
    return folder / kind / f"{file_name(key)}.json"


def _mean(values: Sequence[float]) -> float:
    return statistics.mean(values) if values else 0.0


def _so_far(folder: Path, since: datetime, beside_s: float) -> float:
    """Return the seconds that a cell of this run took, its host's boot and all; 0 if none ended.

    Args:
        folder: The run's folder.
        since: When it began.
        beside_s: How much of the time since then was for tests beside the cells.
    """
    stamps = sorted(path.stat().st_mtime for path in (folder / "cells").glob("*.json"))
    fresh = [stamp for stamp in stamps if stamp >= since.timestamp()]
    return max(1.0, fresh[-1] - since.timestamp() - beside_s) / len(fresh) if fresh else 0.0
