# SPDX-License-Identifier: Apache-2.0
"""The record on disk: whole or not at all, readable or a clear error, and merged without loss."""

from __future__ import annotations

import json
from datetime import timedelta, timezone
from pathlib import Path

import pytest
from pydantic import ValidationError

from lab.config.enums import Scope
from lab.config.topology import Cell, Dies, Survives, Unavailable, Xfail
from lab.errors import ConfigError, InfraError
from lab.record import files, shards
from lab.record.model import (
    AcceleratorRecord,
    CheckRecord,
    EnvironmentRecord,
    ExpectationRecord,
    Outcome,
    PlannedCell,
    RunHeader,
    VerdictRecord,
    merged,
)
from lab.record.plan import expected, planned
from lab.report import publish
from tests.support.records import ENVIRONMENT, LOST, STARTED, cell, run, sixty


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    plan = tuple(PlannedCell(id=i, topology="one-host") for i in ("b/2", "a/1", "c/3"))
    return shards.begin(tmp_path, RunHeader(run_id="7f3a", started=STARTED, planned=plan))


def test_a_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    record = sixty()
    files.write_document(tmp_path / "run.json", record)
    assert files.load(tmp_path) == record


def test_stamps_are_kept_in_utc() -> None:
    there = STARTED.astimezone(timezone(timedelta(hours=5)))
    assert run(started=there).model_dump_json() == run().model_dump_json()


@pytest.mark.parametrize("path", ["/etc", "../other-run", "evidence/../../x"])
def test_evidence_stays_in_the_folder_of_the_run(path: str) -> None:
    with pytest.raises(ValidationError, match="leaves the run's folder"):
        cell(evidence=path)


def test_a_silence_that_never_ended_is_no_figure() -> None:
    with pytest.raises(ValidationError, match="finite"):
        VerdictRecord(kind="Lost", reason="silent", figures={"ratio": float("inf")})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"schema_version": 99}', "schema_version: 99 is newer than this lab's 3"),
        ('{"schema_version": 1, "run_id"', "damaged, not JSON"),
        ("\x00\x01", "damaged, not JSON"),
        ("[]", "schema_version: None is no number"),
        ('{"schema_version": 1, "run_id": "a b"}', "run_id: String should match"),
    ],
)
def test_a_file_that_is_no_record_is_named_with_its_key(
    tmp_path: Path, text: str, says: str
) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ConfigError, match=says) as caught:
        files.load(tmp_path)
    assert str(tmp_path / "run.json") in str(caught.value)


def test_a_missing_record_is_an_error_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read(.|\n)*hint: "):
        files.load(tmp_path / "nothing.json")


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "run.json").mkdir()
    (tmp_path / "run.json" / "old").touch()
    with pytest.raises(InfraError, match="cannot be written"):
        files.write_text(tmp_path / "run.json", "new")
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]


def test_secrets_of_the_run_are_not_written(tmp_path: Path) -> None:
    key = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----"
    bad = cell(first_cause=f"cmdline: quiet beacon={'a1' * 16}:{'b2' * 16} ro", witness={"k": key})
    files.write_document(tmp_path / "c.json", bad)
    text = (tmp_path / "c.json").read_text()
    assert "b2b2" not in text
    assert "AAAA" not in text
    assert json.loads(text)["first_cause"] == "cmdline: quiet beacon=[removed] ro"


def test_fragments_are_merged_in_the_order_of_the_plan(folder: Path) -> None:
    for cell_id in ("a/1", "b/2", "c/3", "unplanned"):
        shards.write_cell(folder, cell(cell_id))
    assert [c.id for c in shards.assemble(folder).cells] == ["b/2", "a/1", "c/3", "unplanned"]


def test_planned_cell_without_a_record_becomes_an_error(folder: Path) -> None:
    shards.write_cell(folder, cell("a/1"))
    got = {c.id: c for c in shards.assemble(folder).cells}
    assert got["a/1"].outcome is Outcome.PASSED
    assert got["c/3"].outcome is Outcome.ERROR
    assert "left no record" in got["c/3"].first_cause
    assert got["c/3"].topology == "one-host"


def test_a_damaged_fragment_spoils_only_its_own_cell(folder: Path) -> None:
    shards.write_cell(folder, cell("a/1"))
    shards.write_cell(folder, cell("b/2")).write_text("{")
    got = {c.id: c for c in shards.assemble(folder).cells}
    assert got["a/1"].outcome is Outcome.PASSED
    assert got["b/2"].outcome is Outcome.ERROR
    assert "damaged" in got["b/2"].first_cause


@pytest.mark.parametrize("cell_id", ["../../etc/passwd", "..", "a[x86_64-kvm]", "é/ü", "x" * 5000])
def test_any_id_gives_a_file_inside_the_folder(folder: Path, cell_id: str) -> None:
    path = shards.write_cell(folder, cell(cell_id, evidence=""))
    assert path.resolve().parent == (folder / "cells").resolve()
    assert cell_id in {c.id for c in shards.assemble(folder).cells}


def test_two_runs_cannot_share_a_folder(folder: Path) -> None:
    with pytest.raises(InfraError, match="cannot be made: File exists"):
        shards.begin(folder.parent, RunHeader(run_id="7f3a", started=STARTED))


def test_what_workers_saw_is_merged_and_their_differences_kept(folder: Path) -> None:
    other = EnvironmentRecord(
        accelerators={"x86_64": AcceleratorRecord(name="kvm", why="/dev/kvm works")},
        images={"tools": "sha256:1"},
        load_1m=7.5,
    )
    shards.note_environment(folder, ENVIRONMENT, worker="gw0")
    shards.note_environment(folder, other, worker="gw1")
    seen = shards.assemble(folder).environment
    assert seen.images == {**ENVIRONMENT.images, "tools": "sha256:1"}
    assert seen.load_1m == 7.5
    assert seen.accelerators["x86_64"].name == "tcg"
    assert [c.partition(":")[0] for c in seen.conflicts] == ["accelerators.x86_64"]


def test_merging_the_same_twice_changes_nothing() -> None:
    assert merged(merged(ENVIRONMENT, ENVIRONMENT), EnvironmentRecord()) == ENVIRONMENT


def test_latest_follows_the_run_that_finished_last(folder: Path) -> None:
    later = shards.begin(folder.parent, RunHeader(run_id="b", started=STARTED))
    publish.finish(folder)
    publish.finish(later)
    latest = folder.parent / "latest"
    assert latest.readlink() == Path(later.name)
    assert {p.name for p in latest.iterdir()} >= {"run.json", "junit.xml", "summary.md"}


def test_pages_can_be_made_again_and_keep_when_the_run_ended(folder: Path) -> None:
    first = publish.finish(folder)
    (folder / "run.json").write_text("{")
    assert first.ended is not None
    assert publish.publish(folder) == first == files.load(folder)


def test_a_cell_of_the_spec_has_a_place_in_the_record() -> None:
    host = {"role": "l1", "vcpus": 2, "memory_mib": 2048, "mode": "native"}
    request = {"topology": "one-host", "arch": "x86_64", "kernel": "stock", **host}
    where = {"request": request, "accel": "tcg", "memory_mib": 128}
    what = {"guest": "linux", "vmm": "qemu", "disruption": "vmm-kill", "tier": "ci"}
    wanted = Xfail(reason="known", link="https://b/1", scope=Scope.MEMORY)
    spec = Cell.model_validate({**where, **what, "expectation": wanted})
    plan = planned(spec, rerun="pytest topologies")
    assert (plan.id, plan.topology, plan.tier) == (spec.id, "one-host", "ci")
    assert plan.dimensions["disruption"] == "vmm-kill"
    assert plan.expectation == ExpectationRecord(
        kind="xfail", scope=Scope.MEMORY, reason="known", link="https://b/1"
    )
    assert expected(Unavailable(reason="no SNP", source="svm-facts")).link == "svm-facts"
    assert expected(Dies()).word == "dies"
    assert expected(Survives()).word == "survives (running)"


def test_a_record_that_an_older_lab_wrote_is_read() -> None:
    record = files.load(Path(__file__).parents[1] / "golden" / "record" / "run-v1.json")
    assert record.schema_version == 1
    assert len(record.cells) == 9
    assert record.cells[0].repeat == 1


def test_repeats_of_a_cell_stand_beside_each_other(tmp_path: Path) -> None:
    plan = tuple(PlannedCell(id="one/kill", repeat=n) for n in (1, 2, 3))
    folder = shards.begin(tmp_path, RunHeader(run_id="7f3a", started=STARTED, planned=plan))
    shards.write_cell(folder, cell())
    shards.write_cell(folder, cell(repeat=2, outcome="failed", verdict=LOST))
    told = {c.key: c.outcome.value for c in shards.assemble(folder).cells}
    assert told == {"one/kill": "passed", "one/kill#2": "failed", "one/kill#3": "error"}


@pytest.mark.parametrize(
    ("tries", "outcome"),
    [
        (("failed", "passed"), "failed"),
        (("xpassed", "passed"), "xpassed"),
        (("error", "passed"), "passed"),
        (("passed", "error"), "error"),
        (("failed", "passed", "passed"), "failed"),
    ],
)
def test_a_test_that_was_tried_again_shows_every_try(
    tries: tuple[str, ...], outcome: str, tmp_path: Path
) -> None:
    folder = shards.begin(tmp_path, RunHeader(run_id="7f3a", started=STARTED))
    for n, each in enumerate(tries):
        check = {"id": "a.py::b", "outcome": each, "first_cause": f"cause {n}"}
        shards.write_check(folder, CheckRecord.model_validate(check))
    (told,) = shards.assemble(folder).checks
    assert told.outcome == outcome
    assert all(f"cause {n}" in told.first_cause for n in range(len(tries)))


def test_a_cell_that_was_tried_again_shows_every_try_and_stays_failed(tmp_path: Path) -> None:
    folder = shards.begin(tmp_path, RunHeader(run_id="7f3a", started=STARTED))
    shards.write_cell(folder, cell("one", outcome="failed", verdict=LOST, first_cause="it died"))
    shards.write_cell(folder, cell("one"))
    shards.write_cell(folder, cell("two", outcome="error", verdict=None, first_cause="no virt"))
    shards.write_cell(folder, cell("two"))
    one, two = shards.assemble(folder).cells
    assert (one.outcome, two.outcome) == (Outcome.FAILED, Outcome.PASSED)
    assert one.first_cause.startswith("it died; tried again, passed: every vCPU beat")
    assert two.first_cause == "tried before, error: no virt"
