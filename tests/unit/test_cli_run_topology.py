# SPDX-License-Identifier: Apache-2.0
"""`lab run CELL_ID` finds a cell in a topology that is named, and where pytest would."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import data
from lab.cli import main
from lab.config.topology_folders import folders_of_pytest, usual_topologies
from lab.pytest_plugin import run_of
from tests.support.cli_lab import own_lab

CELL = "x86_64-tcg-stock-spinner-labvmm-vmm_segv-3vcpus"
USUAL = "x86_64-tcg-stock-linux-qemu-vmm_kill"
MINE = """
name = "mine"
description = "a suite of one's own"
[host.a]
arch = "x86_64"
kernel = "stock"
[[cells]]
guest = "spinner"
vmm = "labvmm"
disruption = "vmm-segv"
vcpus = 3
expect = "dies"
tier = "ci"
"""


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in a folder with a lab.toml, and return it."""
    for name in ("LAB_TOML", "LAB_KERNEL", "LAB_ACCEL"):
        monkeypatch.delenv(name, raising=False)
    with own_lab() as toml:
        yield toml.parent


def suite(folder: Path, *, tests: bool = True, name: str = "mine") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.toml"
    path.write_text(MINE.replace('"mine"', f'"{name}"'), encoding="utf-8")
    if tests:
        (folder / "test_cells.py").touch()
    return path


def dry_run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    status = main(["run", *words, "--dry-run"])
    out, err = capsys.readouterr()
    return status, out or err


def test_a_cell_of_a_named_topology_is_found(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = suite(here / "elsewhere", tests=False)
    assert "no topology has a cell" in dry_run(capsys, CELL)[1]
    for place in (path, path.parent):
        status, out = dry_run(capsys, CELL, f"--topology={place}")
        assert (status, out.partition("\n")[0]) == (0, f"cell: {CELL}")
    status, err = dry_run(capsys, USUAL, f"--topology={path}")
    assert (status, "no topology has a cell" in err) == (2, True)


def test_a_topology_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    status, err = dry_run(capsys, CELL, "--topology=nowhere/mine.toml")
    assert status == 2
    assert "nowhere/mine.toml" in err


def test_a_topology_without_an_id_is_a_mistake(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = suite(here / "elsewhere")
    status, err = dry_run(capsys, "--disruption=none", f"--topology={path}")
    assert status == 2
    assert "was given without a CELL_ID" in err


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("pytest.ini", "[pytest]\ntestpaths = my own*\n"),
        ("pyproject.toml", "[tool.pytest.ini_options]\ntestpaths = ['my', 'own*']\n"),
        ("tox.ini", "[pytest]\ntestpaths = own\n"),
        ("setup.cfg", "[tool:pytest]\ntestpaths = own\n"),
        ("conftest.py", ""),
    ],
)
def test_a_cell_beside_tests_of_pytest_is_found(
    file: str, text: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / file).write_text(text, encoding="utf-8")
    suite(here / "own" / "deep")
    assert dry_run(capsys, CELL)[0] == 0
    if text:
        (here / "own").rename(here / "other")
        (here / "own").mkdir()  # without it, pytest looks everywhere
        assert dry_run(capsys, CELL)[0] == 2


def test_two_suites_with_one_cell_have_to_be_told_apart(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = suite(here / "one"), suite(here / "two", name="other")
    status, err = dry_run(capsys, CELL)
    assert status == 2
    assert f"{CELL} is in {first} and in {second}" in err.replace("\n", " ")
    assert f"--topology={first}" in err
    assert dry_run(capsys, CELL, f"--topology={second}")[0] == 0


def test_other_folders_of_toml_files_are_no_suites(here: Path) -> None:
    suite(here / "own")
    suite(here / "no-tests", tests=False)
    suite(here / ".hidden")
    suite(here / "env" / "suite")
    (here / "env" / "pyvenv.cfg").touch()
    foreign = suite(here / "foreign").with_name("other.toml")
    foreign.write_text("[tool]\n", encoding="utf-8")
    (suite(here / "listed").parent / "must-run.toml").write_text("x86_64 = []\n", encoding="utf-8")
    assert folders_of_pytest(here) == (here / "listed", here / "own")


def test_a_record_names_the_topology_that_is_not_found_anyway(
    here: Path, pytestconfig: pytest.Config, capsys: pytest.CaptureFixture[str]
) -> None:
    path = suite(here / "own")
    run = run_of(pytestconfig)
    cells = run.cells(path.parent)
    (lab, *words) = shlex.split(run.rerun(cells[0], path.parent))
    assert (lab, words[0]) == ("lab", "run")
    assert f"--topology={path}" in words
    assert dry_run(capsys, *words[1:])[0] == 0
    assert usual_topologies(run.toml(data.TOPOLOGIES)).name == "topologies"
