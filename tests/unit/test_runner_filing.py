# SPDX-License-Identifier: Apache-2.0
"""A cell is judged by what stands in its file; where that cannot be kept, the cell is no pass."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lab.errors import InfraError
from lab.record import shards
from lab.record.model import CellRecord, Outcome, RunHeader
from lab.runner import retry
from lab.runner.judge_cell import judge_cell
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


def judged(pool: Any, folder: Path) -> CellRecord:
    return judge_cell(pool, cell_of_an_orphan(), folder, rerun="lab run X")[0]


def test_a_record_says_by_what_its_cell_came_about(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pool = simulated_pool(monkeypatch, tmp_path)
    record = judged(pool, run_folder(tmp_path))
    pool.close()
    told = record.provenance
    assert told is not None
    assert [boot.build_id for boot in told.boots] == ["6f1ed002"]
    assert set(told.images) == {"kernel", "initrd", "root", "tools"}
    assert (told.limits["watch.patience_s"], told.limits["patience.boot_s"]) == (1.5, 120.0)
    assert (told.qemu, told.libvirt, told.errata) == ("10.0.3", "9.0.0", "none")
    assert set(record.digests) == {path.name for path in (tmp_path / "r").rglob("evidence/*/*")}


def test_a_cell_that_is_tried_again_has_evidence_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pool, folder = simulated_pool(monkeypatch, tmp_path), run_folder(tmp_path)
    first, second = judged(pool, folder), judged(pool, folder)
    pool.close()
    assert second.evidence == f"{first.evidence}~try2"
    assert (folder / second.evidence / NAME).exists()
    assert first.digests[NAME] != second.digests[NAME]


def test_a_cell_whose_provenance_cannot_be_told_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pool = simulated_pool(monkeypatch, tmp_path)

    def versions() -> None:
        raise InfraError("libvirt does not answer")

    monkeypatch.setattr(pool.lab_session.connection, "versions", versions)
    record = judged(pool, run_folder(tmp_path))
    pool.close()
    assert (record.outcome, record.first_cause) == (
        Outcome.ERROR,
        "InfraError: libvirt does not answer",
    )


def run_folder(tmp_path: Path) -> Path:
    return shards.begin(
        tmp_path / "r", RunHeader(run_id="7f3a", started=datetime.now(UTC), tier="ci")
    )
