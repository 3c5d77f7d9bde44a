# SPDX-License-Identifier: Apache-2.0
"""What is done to a run that is then verified, and what is said of it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.verify.cell import State
from lab.verify.run import VerifiedRun
from tests.support.stored_run import LIVES

BEATS = f"evidence/{LIVES}/beats.json.gz"
CONSOLE = f"evidence/{LIVES}/host-console.log"
RECORD = f"cells/{LIVES}.json"


def state(found: VerifiedRun, key: str = LIVES) -> tuple[State, tuple[str, ...]]:
    """Return what became of a cell, and why."""
    return next((c.state, c.reasons) for c in found.cells if c.cell == key)


def flip(path: Path, at: int = 20) -> None:
    """Change one bit of a file."""
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)


def edit(path: Path, change: Callable[[Any], object]) -> None:
    """Change a file of JSON, packed or not."""
    packed = path.suffix == ".gz"
    raw = path.read_bytes()
    data = json.loads(gzip.decompress(raw) if packed else raw)
    change(data)
    text = json.dumps(data).encode()
    path.write_bytes(gzip.compress(text) if packed else text)


def edit_record(run: Path, change: Callable[[Any], object]) -> None:
    """Change the record of a cell in both places."""
    edit(run / RECORD, change)
    edit(run / "run.json", lambda d: change(next(c for c in d["cells"] if c["id"] == LIVES)))
