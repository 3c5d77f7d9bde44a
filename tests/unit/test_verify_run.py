# SPDX-License-Identifier: Apache-2.0
"""A run verified: what was changed is told apart, named, and never an exception."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.record.files import load as load_record
from lab.record.files import write_document
from lab.record.model import CellRecord, Outcome
from lab.verify import manifest
from lab.verify.cell import State
from lab.verify.run import verify
from tests.support.changed_run import BEATS, CONSOLE, RECORD, edit, flip, state
from tests.support.stored_run import DIES, LIVES, end, made, unpacked


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / whole.name, symlinks=True))


def test_a_run_that_nobody_changed_is_verified(whole: Path) -> None:
    found = verify(whole)
    assert (found.status, found.differs, found.untold) == (0, (), ())
    assert [c.state for c in found.cells] == [State.VERIFIED, State.VERIFIED, State.UNJUDGED]
    assert len(found.root) == 64


@pytest.mark.parametrize("name", [BEATS, CONSOLE])
@pytest.mark.parametrize("at", [0, 17, -1])
def test_one_byte_of_evidence_is_told_with_its_file(run: Path, name: str, at: int) -> None:
    flip(run / name, at)
    found = verify(run)
    assert found.status == 1
    assert state(found)[0] is State.EVIDENCE
    assert state(found)[1][0] == f"{name} was changed"
    assert state(found, DIES) == (State.VERIFIED, ())
    assert found.differs == ()


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def replaced_by_a_link(path: Path) -> None:
    kept = path.with_name("kept")
    shutil.move(path, path.parents[2] / kept.name)
    path.symlink_to(path.parents[2] / kept.name)


def replaced_by_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def in_a_linked_folder(path: Path) -> None:
    there = path.parents[2] / "there"
    shutil.move(path.parent, there)
    path.parent.symlink_to(there)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (cut_short, f"{BEATS} was changed"),
        (Path.unlink, f"{BEATS} is missing"),
        (replaced_by_a_link, f"{BEATS} is a symbolic link"),
        (replaced_by_a_pipe, f"{BEATS} cannot be read: it is no regular file"),
        (in_a_linked_folder, f"{BEATS} lies behind the link "),
    ],
)
def test_evidence_that_is_not_there_as_it_was_is_told(
    run: Path, change: Callable[[Path], None], says: str
) -> None:
    change(run / BEATS)
    found = verify(run)
    assert (found.status, state(found)[0]) == (1, State.EVIDENCE)
    assert state(found)[1][0].startswith(says), state(found)


@pytest.mark.parametrize("name", [f"evidence/{LIVES}/more.log", f"evidence/{LIVES}/a/b"])
def test_a_file_too_many_in_the_evidence_is_told(run: Path, name: str) -> None:
    (run / name).parent.mkdir(exist_ok=True)
    (run / name).touch()
    assert state(verify(run)) == (State.EVIDENCE, (f"{name} is in no hash tree of the run",))


def test_evidence_is_told_without_a_hash_tree_by_its_record(run: Path) -> None:
    (run / manifest.NAME).unlink()
    assert verify(run).status == 125
    flip(run / CONSOLE)
    found = verify(run)
    assert (found.status, state(found)) == (1, (State.EVIDENCE, (f"{CONSOLE} was changed",)))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda run: flip(run / "header.json"), "header.json was changed"),
        (lambda run: (run / "environment/main.json").unlink(), "environment/main.json is missing"),
        (lambda run: (run / "checks/x.json").touch(), "checks/x.json is in no hash tree of "),
        (
            lambda run: edit(run / "run.json", lambda d: d.update(tier="soak")),
            "run.json has other tier than the files that it was made from",
        ),
        (
            lambda run: edit(run / "run.json", lambda d: d["cells"].pop(1)),
            f"run.json has no record of {DIES}",
        ),
    ],
)
def test_what_is_no_cells_is_told(run: Path, change: Callable[[Path], object], says: str) -> None:
    change(run)
    found = verify(run)
    assert found.status == 1
    assert any(each.startswith(says) for each in found.differs), found


def test_a_cell_that_broke_after_its_verdict_is_verified(run: Path) -> None:
    def broke(data: Any) -> None:
        data.update(outcome="error", first_cause="InfraError: its guest could not be ended")

    edit(run / RECORD, broke)
    end(run)
    assert verify(run).status == 0


def test_a_cell_that_was_tried_more_than_once_is_verified(run: Path) -> None:
    def tried(data: Any) -> None:
        data.update(first_cause="tried before, error: no answer")

    edit(run / RECORD, tried)
    end(run)
    assert verify(run).status == 0


def test_a_run_without_a_verdict_is_not_verified(run: Path) -> None:
    record = load_record(run)
    none = [cell for cell in record.cells if cell.outcome is Outcome.UNAVAILABLE]
    write_document(run / "run.json", record.model_copy(update={"cells": tuple(none)}))
    for key in (LIVES, DIES):
        shutil.rmtree(run / "evidence" / key)
        (run / "cells" / f"{key}.json").unlink()
    end(run)
    found = verify(run)
    assert (found.status, found.differs, found.untold) == (125, (), ())


def test_all_parts_of_a_record_are_verified_or_sealed() -> None:
    """Whatever is added to a record has to be put on one side or the other."""
    judged = {"verdict", "witness", "outcome", "first_cause", "timeline", "expectation"}
    sealed = {
        "schema_version", "id", "repeat", "topology", "dimensions", "tier", "rerun", "duration_s",
        "phases", "evidence", "consoles", "children", "provenance", "digests", "lacks",
        "tries", "turn",
    }  # fmt: skip
    assert set(CellRecord.model_fields) == judged | sealed


def test_the_stored_run_is_verified_to_the_last_figure(tmp_path: Path) -> None:
    """A judge that says otherwise of it is another judge: then it is written anew, on purpose."""
    found = verify(unpacked(tmp_path))
    assert found.status == 0, found
    assert [cell.state for cell in found.cells if cell.cell in {LIVES, DIES}] == [
        State.VERIFIED,
        State.VERIFIED,
    ]


def test_a_byte_of_the_stored_run_is_told(tmp_path: Path) -> None:
    run = unpacked(tmp_path)
    flip(run / BEATS)
    found = verify(run)
    assert (found.status, state(found)[1][0]) == (1, f"{BEATS} was changed")
