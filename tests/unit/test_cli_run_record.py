# SPDX-License-Identifier: Apache-2.0
"""What `lab run` writes and returns for a judged cell; no machine is booted."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab.cli import main
from lab.cli import run as run_command
from lab.config.model import Accel, Cell, LabConfig
from lab.errors import InfraError
from lab.record import shards
from lab.record.files import load
from lab.record.model import NO_RECORD, CellRecord, Outcome, RunRecord
from lab.record.plan import planned
from tests.support.cli_lab import own_lab
from tests.support.records import ENVIRONMENT, LOST, SURVIVED, UNPROVEN

CHECKOUT = Path(__file__).parents[2]
KILL = "x86_64-tcg-stock-linux-qemu-vmm_kill"
HANDOVER = LOST.model_copy(update={"reason": "it went silent while it was handed over"})
GONE = {"kind": "Happened", "what": "process 412 is gone"}


@pytest.fixture(name="judged", autouse=True)
def a_lab_whose_cells_are_judged_at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Cell]]:
    """Return cells that were judged: a guest is lost if its cell expects that, else lives."""
    cells: list[Cell] = []

    def judge(_: object, cell: Cell, folder: Path, *, rerun: str) -> None:
        cells.append(cell)
        plan = planned(cell, rerun=rerun)
        dies = plan.expectation is not None and plan.expectation.kind == "dies"
        facts = {"outcome": "passed", "witness": GONE, "verdict": LOST if dies else SURVIVED}
        write(folder, CellRecord.model_validate({**plan.model_dump(), **facts}))

    @contextmanager
    def lab_session(lab: LabConfig, *_: object, run_id: str) -> Iterator[Any]:
        accel = Accel.TCG if lab.host.accelerator is Accel.AUTO else lab.host.accelerator
        yield SimpleNamespace(
            lab=lab, run_id=run_id, accelerator=lambda *_: SimpleNamespace(accel=accel)
        )

    for name in ("LAB_TOML", "LAB_KERNEL", "LAB_ACCEL", "LAB_REPORTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(run_command, "judge_cell", judge)
    monkeypatch.setattr(run_command, "opened", lab_session)
    monkeypatch.setattr(run_command, "insist", lambda _: None)
    with own_lab():
        yield cells


def write(folder: Path, record: CellRecord) -> None:
    shards.write_cell(folder, record)
    shards.note_environment(folder, ENVIRONMENT, worker="main")


def recorded() -> RunRecord:
    return load(Path("reports/latest"))


def test_a_cell_of_an_id_is_judged_as_its_topology_has_it(
    judged: list[Cell], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", KILL]) == 0
    (cell,) = judged
    assert (cell.topology, cell.host, cell.id) == ("x86_64-one-host", "a", KILL)
    out = capsys.readouterr().out
    assert "Lost" in out
    assert "expected: dies" in out
    assert "exit status 0: good: as expected" in out


def test_the_record_names_the_command_that_runs_it_again(judged: list[Cell]) -> None:
    assert main(["run", "-d", "vmm-kill", "--expect", "dies"]) == 0
    (cell,) = judged
    assert cell.topology == "lab-run"
    record = recorded()
    assert record.cells[0].rerun == f"lab run {KILL}"
    assert record.command_line == ("lab", "run", KILL)
    page = Path("reports/latest")
    assert any(f"lab run {KILL}" in each.read_text("utf-8") for each in page.rglob("*.html"))
    assert f"again: lab run {KILL}" in (page / "junit.xml").read_text(encoding="utf-8")


ASYNC = "x86_64-tcg-reference-linux-labvmm-vmm_kill-async"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([ASYNC], "uncontrolled: its control is x86_64-tcg-reference-linux-labvmm-vmm_kill;"),
        (
            ["-d", "vmm-kill", "--kernel=reference", "--vmm=labvmm", "--orphaning=async"],
            "uncontrolled: its control is x86_64-tcg-reference-linux-labvmm-vmm_kill;",
        ),
        (["-d", "vmm-kill"], "uncontrolled: no cell of the topologies is its control"),
        ([KILL], ""),
        (["-d", "none"], ""),
    ],
)
def test_a_survival_alone_says_uncontrolled_and_exits_by_its_cell(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *words]) == 0
    out = capsys.readouterr().out
    assert told in out
    assert ("uncontrolled" in out) is bool(told)
    assert any(told in note for note in recorded().notes) is bool(told)


def test_json_is_the_cells_record(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", KILL, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["id"], told["rerun"]) == (KILL, f"lab run {KILL}")


def test_what_breaks_in_the_lab_cannot_tell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: LabConfig) -> None:
        raise InfraError("no libvirt", hint="lab doctor")

    monkeypatch.setattr(run_command, "insist", broken)
    assert main(["run", KILL]) == 125
    assert "lab: cannot tell: no libvirt" in capsys.readouterr().err


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("error", [KeyError("seq"), OSError("no space"), InfraError("no virt")])
def test_whatever_is_raised_cannot_tell_and_its_traceback_is_kept(
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    debug: bool,
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(run_command, "judge_cell", broken)
    assert main([*(["--debug"] if debug else []), "run", KILL]) == 125
    (cell,) = recorded().cells
    assert (cell.outcome, cell.first_cause) == (Outcome.ERROR, NO_RECORD)
    (kept,) = Path("reports/cannot-tell").iterdir()
    assert "in broken" in kept.read_text(encoding="utf-8")
    told = capsys.readouterr().err
    assert f"its traceback: {kept.absolute()}" in told
    assert ("in broken" in told) is debug


def test_an_error_of_the_lab_before_anything_started_cannot_tell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> None:
        raise InfraError("the state folder cannot be read")

    monkeypatch.setattr(run_command, "target_of", broken)
    assert main(["run", KILL]) == 125


def test_a_mistake_in_what_was_typed_is_2() -> None:
    assert main(["run", f"{KILL}-not"]) == 2
    assert main(["run", KILL, "--nonsense"]) == 2
    assert not Path("reports").exists()


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"outcome": "passed", "verdict": SURVIVED}, 0),
        ({"outcome": "failed", "verdict": LOST}, 1),
        ({"outcome": "failed", "verdict": HANDOVER}, 1),
        ({"outcome": "xpassed", "verdict": SURVIVED}, 125),  # nobody expected a failure
        ({"outcome": "error", "verdict": UNPROVEN}, 125),
        ({"outcome": "unavailable", "verdict": None}, 125),
    ],
)
def test_bisect_is_told_good_bad_or_skip(
    said: dict[str, object], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judge(_: object, cell: Cell, folder: Path, *, rerun: str) -> None:
        plan = planned(cell, rerun=rerun)
        write(folder, CellRecord.model_validate({**plan.model_dump(), "witness": GONE, **said}))

    monkeypatch.setattr(run_command, "judge_cell", judge)
    assert main(["run", KILL, "--expect", "survives"]) == status


def test_a_reader_that_goes_away_makes_no_commit_bad(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from lab.cli.cannot_tell import status_of; import sys\n"
        "def judged():\n"
        "    print('x' * int(sys.argv[1])); return 0\n"
        "sys.exit(status_of(judged, Path(sys.argv[2]), debug=False))"
    )
    for length, wanted in (("10", 0), ("1000000", 125)):
        shell = (
            f'{shlex.quote(sys.executable)} -c "$0" {length} "$1" | :; echo "${{PIPESTATUS[0]}}"'
        )
        argv = ["bash", "-c", f"trap '' PIPE; {shell}", code, str(tmp_path)]
        env = {**os.environ, "PYTHONPATH": str(CHECKOUT), "PYTHONUNBUFFERED": ""}
        done = subprocess.run(argv, env=env, capture_output=True, text=True, check=True, timeout=60)
        assert int(done.stdout) == wanted, done
