# SPDX-License-Identifier: Apache-2.0
"""The results of every cell, ever: one SQLite file under the state folder, made from run records.

`run.json` stays the truth: a lost database is made again from the runs that are still there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from lab.errors import ConfigError, InfraError
from lab.record.classify import exit_status, false_starts, headline, standing
from lab.record.labels import word
from lab.record.model import CellRecord, RunRecord

# 2: how long tests beside the cells took; 3: voids, false starts, boots of hosts; 4: indexes.
VERSION = 4
NAME = "history.sqlite"
_WAIT_S = 30.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    run_id TEXT PRIMARY KEY, started TEXT NOT NULL, folder TEXT NOT NULL, tier TEXT NOT NULL,
    status INTEGER NOT NULL, headline TEXT NOT NULL, ended INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS results (
    run_id TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
    cell TEXT NOT NULL, repeat INTEGER NOT NULL, arch TEXT NOT NULL, accel TEXT NOT NULL,
    kernel TEXT NOT NULL, build_id TEXT NOT NULL, shape TEXT NOT NULL, expects TEXT NOT NULL,
    word TEXT NOT NULL, standing TEXT NOT NULL, verdict TEXT, silence_ms REAL, duration_s REAL,
    voids INTEGER NOT NULL DEFAULT 0, false_starts INTEGER NOT NULL DEFAULT 0,
    boot_id TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (run_id, cell, repeat)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS checks (
    run_id TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
    id TEXT NOT NULL, word TEXT NOT NULL, duration_s REAL, PRIMARY KEY (run_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS results_by_cell ON results (cell, run_id);
CREATE INDEX IF NOT EXISTS results_by_build ON results (
    cell, build_id, standing, verdict, word, expects, boot_id, voids, false_starts, silence_ms
);
CREATE INDEX IF NOT EXISTS results_failing ON results (cell, run_id, build_id)
    WHERE standing = 'not as expected';
"""
_ADDED_BY_3 = """
ALTER TABLE results ADD COLUMN voids INTEGER NOT NULL DEFAULT 0;
ALTER TABLE results ADD COLUMN false_starts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE results ADD COLUMN boot_id TEXT NOT NULL DEFAULT '';
"""


@dataclass(frozen=True, slots=True)
class PastRun:
    """A run as the history knows it."""

    run_id: str
    started: str  # ISO 8601, UTC
    folder: str
    tier: str
    status: int
    headline: str


@dataclass(frozen=True, slots=True)
class PastResult:
    """The result of one repeat of one cell in one run."""

    run_id: str
    cell: str
    repeat: int
    arch: str
    accel: str
    kernel: str
    build_id: str
    shape: str  # all dimensions but the kernel
    expects: str
    word: str
    standing: str
    verdict: str | None
    silence_ms: float | None
    duration_s: float | None
    voids: int = 0  # tries in which L0 was late
    false_starts: int = 0
    boot_id: str = ""  # of the host that it began on; "" if unknown


class Alike(NamedTuple):
    """Results of one cell on one build that do not differ in what is counted, and how many."""

    standing: str
    verdict: str | None
    word: str
    expects: str
    boot_id: str
    voids: int
    false_starts: int
    silence_ms: float | None
    times: int


_ALIKE = ", ".join(Alike._fields[:-1])
_EARLIER = "run_id NOT IN (SELECT run_id FROM runs WHERE started >= ?)"
_RUN = "run_id, started, folder, tier, status, headline"
_RESULT = ", ".join(PastResult.__slots__)


class History:
    """An open history; every method is one transaction."""

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db = db
        self._path = path

    def note(self, record: RunRecord, folder: str) -> None:
        """Enter a run; an earlier entry of the same run is replaced.

        Args:
            record: The run.
            folder: The name of its folder.

        Raises:
            InfraError: It could not be written; the history is as it was.
        """
        rows = [astuple(result_of(record, cell)) for cell in record.cells]
        marks = ", ".join("?" * len(PastResult.__slots__))
        started = record.started.isoformat(timespec="seconds")
        row = (record.run_id, started, folder, record.tier, exit_status(record))
        with _naming(self._path), self._db:
            self._db.execute("DELETE FROM runs WHERE run_id = ?", (record.run_id,))  # and results
            self._db.execute(
                "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*row, headline(record), record.ended is not None),
            )
            self._db.executemany(f"INSERT INTO results VALUES ({marks})", rows)  # noqa: S608 - ?s
            self._db.executemany(
                "INSERT INTO checks VALUES (?, ?, ?, ?)",
                [(record.run_id, c.id, word(c), c.duration_s or None) for c in record.checks],
            )

    def runs(self, *, before: str = "9999", limit: int = 50) -> list[PastRun]:
        """Return the newest runs, newest first.

        Args:
            before: Only runs that began before this, ISO 8601, UTC.
            limit: At most so many.

        Returns:
            The runs.
        """
        sql = f"SELECT {_RUN} FROM runs WHERE started < ? ORDER BY started DESC LIMIT ?"  # noqa: S608
        return [PastRun(*row) for row in self._ask(sql, before, limit)]

    def results(self, run_id: str) -> list[PastResult]:
        """Return all results of one run.

        Args:
            run_id: The run.

        Returns:
            The results, by cell and repeat.
        """
        sql = f"SELECT {_RESULT} FROM results WHERE run_id = ? ORDER BY cell, repeat"  # noqa: S608
        return [PastResult(*row) for row in self._ask(sql, run_id)]

    def of(self, cells: str = "*", *, before: str = "9999") -> Iterator[PastResult]:
        """Return all results of cells by their id, oldest first.

        Args:
            cells: A glob for the id.
            before: Only of runs that began before this, ISO 8601, UTC.

        Returns:
            An iterator over the results.
        """
        columns = ", ".join(f"r.{name}" for name in PastResult.__slots__)
        sql = (
            f"SELECT {columns} FROM results r JOIN runs USING (run_id) "  # noqa: S608 - our names
            "WHERE r.cell GLOB ? AND started < ? ORDER BY started, r.cell, r.repeat"
        )
        return (PastResult(*row) for row in self._ask(sql, cells, before))

    def runs_of_cells(self) -> dict[str, list[str]]:
        """Return the ids of the runs that each cell was in, in no order.

        Returns:
            By the cell's id.
        """
        found: dict[str, list[str]] = {}
        for cell, run_id in self._ask("SELECT DISTINCT cell, run_id FROM results"):
            found.setdefault(cell, []).append(run_id)
        return found

    def turns(self, run_id: str, cell: str) -> list[PastResult]:
        """Return the results of one cell in one run.

        Args:
            run_id: The run.
            cell: The cell's id.

        Returns:
            One for each repeat, in order.
        """
        sql = f"SELECT {_RESULT} FROM results WHERE run_id = ? AND cell = ? ORDER BY repeat"  # noqa: S608
        return [PastResult(*row) for row in self._ask(sql, run_id, cell)]

    def alike(self, cell: str, build_id: str, *, before: str) -> list[Alike]:
        """Return the results of one cell on one build of its kernel, as far as they are counted.

        Args:
            cell: The cell's id.
            build_id: The build.
            before: Only of runs that began before this, ISO 8601, UTC.

        Returns:
            The results, with how often each came.
        """
        sql = (
            f"SELECT {_ALIKE}, count(*) FROM results WHERE cell = ? AND build_id = ? "  # noqa: S608
            f"AND {_EARLIER} GROUP BY {_ALIKE}"
        )
        return [Alike(*row) for row in self._ask(sql, cell, build_id, before)]

    def failing(self, cell: str, *, before: str) -> list[str]:
        """Return the builds on which one cell failed.

        Args:
            cell: The cell's id.
            before: Only of runs that began before this, ISO 8601, UTC.

        Returns:
            Their ids, one for each failure, oldest first; "" where the build is unknown.
        """
        sql = (
            "SELECT r.build_id FROM results r INDEXED BY results_failing JOIN runs USING (run_id) "
            "WHERE r.cell = ? AND r.standing = 'not as expected' AND started < ? "
            "ORDER BY started, r.repeat"
        )
        return [build for (build,) in self._ask(sql, cell, before)]

    def durations(self) -> dict[str, float]:
        """Return how long each cell and each test beside them took on average.

        Returns:
            Seconds, by id.
        """
        sql = (
            "SELECT cell, avg(duration_s) FROM results WHERE duration_s > 0 GROUP BY cell "
            "UNION ALL SELECT id, avg(duration_s) FROM checks WHERE duration_s > 0 GROUP BY id"
        )
        return dict(self._ask(sql))

    def _ask(self, sql: str, *values: object) -> list[Any]:
        with _naming(self._path):
            return self._db.execute(sql, values).fetchall()


@contextmanager
def opened(path: Path) -> Iterator[History]:
    """Open a history; make it if there is none.

    Args:
        path: Its file.

    Yields:
        The history.

    Raises:
        ConfigError: A newer lab wrote it.
        InfraError: It is damaged, or cannot be read or written.
    """
    with _naming(path), closing(sqlite3.connect(path, timeout=_WAIT_S)) as db:
        db.execute("PRAGMA foreign_keys = ON")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise ConfigError(
                f"{path}: version {version} is newer than this lab's {VERSION}",
                hint="read it with the lab that wrote it; nothing of it was changed",
            )
        if version < VERSION:  # what an older one has stays as it is
            _bring_up_to_date(db)
        yield History(db, path)


def _bring_up_to_date(db: sqlite3.Connection) -> None:
    with db:
        db.execute("BEGIN IMMEDIATE")
        (version,) = db.execute("PRAGMA user_version").fetchone()  # another may have done it by now
        if version < VERSION:
            added = _ADDED_BY_3 if 0 < version < 3 else ""  # noqa: PLR2004 - see VERSION
            for statement in filter(str.strip, f"{added}{_SCHEMA}".split(";")):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {VERSION}")


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as e:
        raise InfraError(
            f"{path}: {e}; what was known before is still there",
            hint="check the disk and the folder's permissions; run.json is not touched by this",
        ) from e
    except sqlite3.DatabaseError as e:
        raise InfraError(
            f"{path}: damaged: {e}",
            hint="lab history --rebuild moves it aside and makes it again from reports/*/run.json",
        ) from e


def result_of(record: RunRecord, cell: CellRecord) -> PastResult:
    """Return the result of a cell as the history has it.

    Args:
        record: The run.
        cell: One of its cells.

    Returns:
        The result.
    """
    place = {name: str(value) for name, value in cell.dimensions.items()}
    arch, kernel = place.get("arch", ""), place.get("kernel", "")
    built = record.environment.kernels.get(f"{kernel} {arch}")
    verdict = cell.verdict
    boot = cell.provenance.boots[0] if cell.provenance and cell.provenance.boots else None
    return PastResult(
        record.run_id,
        cell.id,
        cell.repeat,
        arch,
        place.get("accel", ""),
        kernel,
        boot.build_id if boot else built.build_id if built else "",
        " ".join([cell.topology, *(v for name, v in place.items() if name != "kernel" and v)]),
        cell.expectation.word if cell.expectation else "",
        word(cell, must_run=cell.id in record.must_run),
        standing(cell).value,
        verdict.kind if verdict else None,
        verdict.longest_silence_ms if verdict else None,
        cell.duration_s or None,
        voids=_voids(cell),
        false_starts=false_starts(cell),
        boot_id=boot.boot_id if boot else "",
    )


def _voids(cell: CellRecord) -> int:
    told = cell.verdict.figures.get("void_tries", 0) if cell.verdict else 0
    return told if isinstance(told, int) else 0
