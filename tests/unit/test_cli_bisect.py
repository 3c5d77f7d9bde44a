# SPDX-License-Identifier: Apache-2.0
"""`lab bisect`: what a run of `lab run` says of a commit, and what is printed in the end."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lab.bisect.notes import Trial
from lab.cli import bisect as command
from lab.cli import main
from lab.cli.bisect import Runs, trial_of
from lab.cli.child_process import Child
from lab.errors import ConfigError
from lab.record import shards
from lab.record.model import CellRecord, RunHeader
from tests.support.cli_lab import own_lab
from tests.support.records import LOST, cell

CELL = "x86_64-tcg-stock-linux-qemu-vmm_kill"


@pytest.fixture(name="toml", autouse=True)
def a_lab_of_its_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in ("LAB_TOML", "LAB_KERNEL"):
        monkeypatch.delenv(name, raising=False)
    with own_lab() as path:
        yield path


def broken(why: str) -> CellRecord:
    return cell(outcome="error", verdict=None, first_cause=why)


@pytest.mark.parametrize(
    ("record", "came"),
    [
        (cell(), "passed"),
        (cell(outcome="failed", verdict=LOST), "failed"),
        (cell(outcome="failed", verdict=None, first_cause="no caretaker"), "skip"),
        (cell(outcome="unavailable", verdict=None, first_cause="no KEXEC"), "skip"),
        (broken("ConfigError: kernel mine does not build:"), "skip"),
        (broken("HostDiedError: a did not come up: it panicked"), "skip"),
        (broken("HostDiedError: a went away while it was watched"), "unknown"),
        (broken("InfraError: a did not come up: it did not say 'ready' in 120 s"), "unknown"),
        (broken("Unproven: the eye was blind"), "unknown"),
    ],
)
def test_what_a_run_says_of_its_commit(record: CellRecord, came: str) -> None:
    assert trial_of(record, "/r").came == came


def test_a_run_is_lab_run_on_the_clone(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []

    def run_child(argv: list[str], log: Path, **_: object) -> Child:
        called.append(argv)
        header = RunHeader(run_id=f"r{len(called)}", started=datetime.now(UTC))
        folder = shards.begin(toml.parent / "reports", header)
        shards.write_cell(folder, cell(outcome="failed", verdict=LOST))
        (folder / "run.json").write_text(shards.assemble(folder).model_dump_json())
        log.write_text("")
        return Child(1)

    monkeypatch.setattr(command, "run_child", run_child)
    trial = Runs(toml, toml.parent, "an-id", 0).judge("")
    assert (trial.came, Path(trial.run).parent) == ("failed", toml.parent / "reports")
    assert called[0][1:5] == ["-m", "lab", "run", "an-id"] or "an-id" in called[0]
    assert f"--lab-kernel={toml.parent}/tree" in called[0]


@pytest.mark.parametrize(("status", "came"), [(125, "unknown"), (3, "unknown")])
def test_a_run_without_a_record_cannot_be_told(
    status: int, came: str, toml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_child(_: list[str], log: Path, **__: object) -> Child:
        log.write_text("lab: no libvirt\n")
        return Child(status)

    monkeypatch.setattr(command, "run_child", run_child)
    assert Runs(toml, toml.parent, "an-id", 0).judge("") == Trial(came=came, why="lab: no libvirt")  # type: ignore[arg-type]


def test_a_mistake_ends_the_search(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_child(_: list[str], log: Path, **__: object) -> Child:
        log.write_text("lab: lab.toml: misspelt\n")
        return Child(2)

    monkeypatch.setattr(command, "run_child", run_child)
    with pytest.raises(ConfigError, match="misspelt"):
        Runs(toml, toml.parent, "an-id", 0).judge("")


@pytest.fixture
def tree(toml: Path) -> Path:
    tree = toml.parent / "tree of mine"
    tree.mkdir()
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost"]
    subprocess.run([*git, "init", "--quiet"], cwd=tree, check=True)
    for n in range(6):
        (tree / "code").write_text(str(n), encoding="utf-8")
        subprocess.run([*git, "add", "."], cwd=tree, check=True)
        subprocess.run([*git, "commit", "--quiet", "-m", f"change {n}"], cwd=tree, check=True)
        subprocess.run([*git, "tag", f"c{n}"], cwd=tree, check=True)
    return tree


def test_it_prints_the_commit_and_goes_on_where_it_was(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    judged = []

    def judge(self: Runs, sha: str) -> Trial:
        judged.append(sha)
        bad = int((self.folder / "tree/code").read_text(encoding="utf-8")) >= 4
        return Trial(came="failed" if bad else "passed", run="/reports/7")

    monkeypatch.setattr(Runs, "judge", judge)
    line = ["bisect", "c0", "c5", "--cell", CELL, f"--lab-kernel={tree}", "--shows=0.9"]
    assert main(line) == 0
    out, err = capsys.readouterr()
    assert "is the first bad commit" in out
    assert "change 4" in out
    assert "cell x86_64-tcg-mine-linux-qemu-vmm_kill" in out
    assert "evidence: /reports/7" in out
    assert "5 commits, of which about 5 are judged" in err
    runs = len(judged)
    assert main(line) == 0
    assert len(judged) == runs
    assert capsys.readouterr().out == out
    assert main([*line, "--fresh"]) == 0
    assert len(judged) == 2 * runs


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["c5", "c0", "--cell", CELL], "no commit is in"),
        (["c0", "c9", "--cell", CELL], "has no commit 'c9'"),
        (["c0", "c5", "--cell", CELL.replace("qemu", "qemo")], "close to it"),
        (["c0", "c5", "--cell", CELL, "--shows=2"], "make no test"),
    ],
)
def test_a_mistake_is_said_before_anything_is_run(
    words: list[str], told: str, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bisect", *words, f"--lab-kernel={tree}"]) == 2
    assert told in capsys.readouterr().err
