# SPDX-License-Identifier: Apache-2.0
"""A history of a year of nights, and what a query of it takes.

    python -m tests.support.year_of_nights FILE [NIGHTS [CELLS [REPEATS]]]

makes FILE, if it is not there, of 365 nights of 343 cells, each done 8 times, which are 1,001,560
results; then it prints how much time of a processor it takes to read the results of one cell, and
the past of one run.
"""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from lab.history.store import opened
from lab.history.trend import past_of
from lab.record.model import CellRecord, EnvironmentRecord, KernelRecord, RunRecord
from tests.support.records import LOST, STARTED, SURVIVED, cell, run

NIGHTS, CELLS, REPEATS = 365, 343, 8
_A_BUILD = 30  # nights that one build of the kernel stays


def night(n: int, cells: int = CELLS, repeats: int = REPEATS) -> RunRecord:
    """Return one night; now and then a guest is lost."""
    at = STARTED + timedelta(days=n)
    kernel = KernelRecord(release="7.3.4", build_id=f"build{n // _A_BUILD}", digest="sha256:00")
    return run(
        *_cells(n, cells, repeats),
        run_id=f"night{n}",
        started=at,
        ended=at + timedelta(hours=8),
        environment=EnvironmentRecord(kernels={"reference x86_64": kernel}),
    )


def _cells(n: int, cells: int, repeats: int) -> Iterator[CellRecord]:
    for c in range(cells):
        for repeat in range(1, repeats + 1):
            lost = (n * 7 + c * 13 + repeat * 31) % 97 == 0
            changes = {"outcome": "failed", "verdict": LOST} if lost else {"verdict": SURVIVED}
            yield cell(f"x86_64-tcg-reference-{c}", repeat=repeat, duration_s=21.4, **changes)


def fill(path: Path, nights: int, cells: int = CELLS, repeats: int = REPEATS) -> None:
    """Enter that many nights: of each build the first as a run is entered, the others as copies."""
    with opened(path) as history:
        for n in range(0, nights, _A_BUILD):
            history.note(night(n, cells, repeats), f"folder-{n}")
    with closing(sqlite3.connect(path)) as db, db:
        for n in range(nights):
            first, at = f"night{n - n % _A_BUILD}", night(n, 0).started.isoformat()
            if n % _A_BUILD:
                for table in ("runs", "results"):
                    names = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
                    new = {"run_id": f"'night{n}'", "started": f"'{at}'"}
                    listed = ", ".join(new.get(name, name) for name in names)
                    db.execute(
                        f"INSERT INTO {table} SELECT {listed} FROM {table} WHERE run_id = ?",  # noqa: S608 - names of ours
                        (first,),
                    )


def _tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def main(path: Path, nights: int, cells: int, repeats: int) -> None:
    """Make the history, if it is not there, and tell what queries take."""
    if not path.exists():
        fill(path, nights, cells, repeats)
    with opened(path) as history:
        for glob in (f"x86_64-tcg-reference-{cells // 2}", "x86_64-tcg-reference-1*7"):
            began = time.process_time()
            found = len(list(history.of(glob)))
            _tell(f"results of {glob}: {found} in {1e3 * (time.process_time() - began):.1f} ms")
        last = night(nights, cells, repeats)
        began = time.process_time()
        past = past_of(last, history)
        _tell(f"past of a run: {len(past.cells)} cells in {time.process_time() - began:.2f} s")
        began = time.process_time()
        found = len(history.durations())
        _tell(f"durations of {found} cells in {time.process_time() - began:.2f} s")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *([*map(int, sys.argv[2:]), NIGHTS, CELLS, REPEATS][:3]))
