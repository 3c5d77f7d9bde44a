# SPDX-License-Identifier: Apache-2.0
"""The judge of a scripted suite, within its pytest: words of a file instead of machines."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from lab.config.model import Cell
from lab.errors import InfraError
from lab.pytest_plugin import building, judging, sameness
from lab.record import shards
from lab.record.files import file_name
from lab.record.model import CellRecord, Outcome, VerdictRecord
from lab.record.plan import planned
from tests.support.scripted_suite import SCRIPT

_VERDICTS = {"survives": ("Survived", "Lost"), "dies": ("Lost", "Survived")}


@pytest.fixture(scope="session")
def pool() -> None:
    """Stand for hosts that nobody boots."""


def replace_the_judge() -> None:
    """Have cells judged by the script, for all of this process; nothing is built or probed."""
    vars(judging)["judge_cell"] = judged
    building.build = lambda *_: None
    sameness.insist_same = lambda *_: None


def judged(
    _: object, cell: Cell, folder: Path, *, rerun: str, repeat: int, worker: str, again: bool
) -> tuple[CellRecord, InfraError | None]:
    """Write and return the record that the script has for this try of a cell."""
    key = planned(cell, repeat=repeat).key
    word = _next(key)
    if word == "crash":
        os._exit(3)
    outcome = Outcome(word)
    plan = planned(cell, rerun=rerun, repeat=repeat)
    assert plan.expectation is not None
    good, bad = _VERDICTS[plan.expectation.kind]
    failed = outcome is Outcome.FAILED
    verdict: Any = {
        "kind": bad if failed else good, "reason": "so it is written", "scope": "running",
        "figures": {"check": "silence"},
    }  # fmt: skip
    broke = outcome is Outcome.ERROR
    record = CellRecord(
        **{name: getattr(plan, name) for name in type(plan).model_fields},
        outcome=outcome,
        verdict=None if broke else VerdictRecord.model_validate(verdict),
        witness={} if broke else {"kind": "Happened"},
        first_cause=f"InfraError: worker {worker} broke" if broke else "",
    )
    shards.write_cell(folder, record, again=again)
    return record, InfraError("it broke") if broke else None


def _next(key: str) -> str:
    path = Path(os.environ[SCRIPT])
    words = json.loads(path.read_text(encoding="utf-8")).get(key, ["passed"])
    tries = path.with_suffix(".tries")
    tries.mkdir(exist_ok=True)
    count = tries / file_name(key)
    with count.open("a", encoding="utf-8") as file:
        file.write("x")
    done = len(count.read_text(encoding="utf-8")) - 1
    return str(words[min(done, len(words) - 1)])
