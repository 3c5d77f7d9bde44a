# SPDX-License-Identifier: Apache-2.0
"""A cell is judged by what stands in its file; where that cannot be kept, the cell is no pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.errors import InfraError
from lab.record.model import Outcome
from lab.runner import retry
from lab.runner.recording import record_of
from lab.runner.retry import attempted
from lab.verify import evidence_file
from lab.verify.account import differences
from lab.verify.evidence_file import NAME, load
from tests.support.simulated_cell import cell_of_an_orphan, simulated_pool


def test_the_record_of_a_cell_is_what_its_file_gives(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pool = simulated_pool(monkeypatch, tmp_path)
    result = attempted(pool, cell_of_an_orphan(), tmp_path / "evidence")
    pool.close()
    record = record_of(result, rerun="lab run X")
    assert record.outcome is Outcome.PASSED, record.first_cause
    assert differences(record, load(tmp_path / "evidence" / NAME)) == ()
    assert record.timeline is not None
    assert record.witness["kind"] == "Happened"


def test_evidence_that_cannot_be_kept_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def save(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(evidence_file, "save", save)
    pool = simulated_pool(monkeypatch, tmp_path)
    result = attempted(pool, cell_of_an_orphan(), tmp_path / "evidence")
    pool.close()
    record = record_of(result, rerun="lab run X")
    assert record.outcome is Outcome.ERROR
    assert record.first_cause.endswith("No space left on device")


def test_a_try_that_breaks_off_leaves_no_evidence_of_the_one_before(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    evidence = tmp_path / "evidence"
    evidence.mkdir()
    (evidence / NAME).write_bytes(b"of a try before")

    def run_cell(*_: Any, **__: Any) -> None:
        raise InfraError("it did not start")

    monkeypatch.setattr(retry, "run_cell", run_cell)
    pool = simulated_pool(monkeypatch, tmp_path)
    assert attempted(pool, cell_of_an_orphan(), evidence).broke is not None
    pool.close()
    assert not (evidence / NAME).exists()


def test_a_verdict_of_a_cell_that_broke_afterwards_stays_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def end(*_: object) -> None:
        raise InfraError("its guest could not be ended")

    monkeypatch.setattr("lab.guest.guest.RunningGuest.end", end)
    pool = simulated_pool(monkeypatch, tmp_path)
    result = attempted(pool, cell_of_an_orphan(), tmp_path / "evidence")
    pool.close()
    record = record_of(result, rerun="lab run X")
    assert (record.outcome, record.verdict is None) == (Outcome.ERROR, False)
    assert record.first_cause == "InfraError: its guest could not be ended"
    assert differences(record, load(tmp_path / "evidence" / NAME)) == ()
