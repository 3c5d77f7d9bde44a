# SPDX-License-Identifier: Apache-2.0
"""All runs in one folder: the page over them, and which of them stay."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from lab.errors import ConfigError, LabError
from lab.record.classify import AS_EXPECTED, exit_status, headline
from lab.record.files import load, load_document, write_document, write_text
from lab.record.groups import grouped
from lab.record.model import Document, RunRecord, Utc
from lab.report.render import templates

KEEP = 60
BRIEF = "brief.json"
_FOLDER = re.compile(r"\d{8}T\d{6}Z-[A-Za-z0-9][A-Za-z0-9._-]*")


class Brief(Document):
    """What the page over all runs shows of one, so that it need not read all of it."""

    run_id: str
    started: Utc
    ended: Utc | None
    tier: str
    status: int
    headline: str
    counts: dict[str, int]
    kernels: dict[str, str]  # name to build id
    accelerators: tuple[str, ...]
    resumed: int = 0


def brief(record: RunRecord) -> Brief:
    """Shorten a run record."""
    environment = record.environment
    return Brief(
        run_id=record.run_id,
        started=record.started,
        ended=record.ended,
        tier=record.tier,
        status=exit_status(record),
        headline=headline(record),
        counts=dict(Counter(group.word for group in grouped(record)).most_common()),
        kernels={name: kernel.build_id for name, kernel in environment.kernels.items()},
        accelerators=tuple(sorted({a.name for a in environment.accelerators.values()})),
        resumed=len(record.resumed),
    )


def folders(reports: Path) -> list[Path]:
    """List the folders of runs, the newest first; any other folder is left out.

    Args:
        reports: The folder of all runs.

    Returns:
        The folders.
    """
    if not reports.is_dir():
        return []
    found = (
        path
        for path in reports.iterdir()
        if _FOLDER.fullmatch(path.name) and not path.is_symlink() and _is_run(path)
    )
    return sorted(found, key=lambda path: path.name, reverse=True)


def shelve(reports: Path) -> None:
    """Make the page over all runs anew.

    Args:
        reports: The folder of all runs.
    """
    runs = [(path.name, *brief_of(path)) for path in folders(reports)]
    text = templates().get_template("shelf.html.j2").render(runs=runs)
    write_text(reports / "index.html", text)


def clear(reports: Path, keep: int = KEEP) -> list[str]:
    """Remove the oldest runs beyond `keep`.

    The last good run, the one that `latest` points at, and runs that have not ended stay whatever
    their age: they may be needed, or at work.

    Args:
        reports: The folder of all runs.
        keep: How many runs stay.

    Returns:
        The names of the folders that were removed.
    """
    latest = reports / "latest"
    retained = {latest.resolve().name} if latest.is_symlink() else set()
    known = [(path, brief_of(path)[0]) for path in folders(reports)]
    good = (path.name for path, run_brief in known if run_brief and run_brief.status == AS_EXPECTED)
    retained |= set(list(good)[:1])
    removed = []
    for path, run_brief in known[keep:]:
        if path.name in retained or run_brief is None or run_brief.ended is None:
            continue
        shutil.rmtree(path)
        removed.append(path.name)
    return removed


def records(reports: Path) -> Iterable[tuple[str, RunRecord]]:
    """Read every run record that can be read, the oldest first.

    Args:
        reports: The folder of all runs.

    Returns:
        An iterator over (name of the folder, record).
    """
    for path in reversed(folders(reports)):
        if (path / "run.json").exists():
            try:
                yield path.name, load(path)
            except ConfigError:
                continue


def _is_run(path: Path) -> bool:
    return (path / "header.json").is_file() or (path / "run.json").is_file()


def brief_of(folder: Path) -> tuple[Brief | None, str]:
    """Read the brief of a run; make it if an older lab made none.

    Args:
        folder: The run's folder.

    Returns:
        The brief, and why there is none, of which one is empty.
    """
    path = folder / BRIEF
    try:
        if path.exists():
            return load_document(path, Brief), ""
        if not (folder / "run.json").exists():
            return None, "it has not come to its end"
        made = brief(load(folder))
        write_document(path, made)
    except LabError as e:
        return None, str(e).partition("\n")[0]
    return made, ""
