# SPDX-License-Identifier: Apache-2.0
"""What a run had to judge: what is chosen is a part; what is left out, skipped or gone is named."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab.pytest_plugin.plan import asked_for
from lab.record.files import load
from lab.record.model import RunRecord

CHECKOUT = Path(__file__).parents[2]
TOY = """
name = "toy"
description = "two guests, and what ends one of them"
[host.a]
arch = "x86_64"
[host.b]
arch = "x86_64"
kernel = "reference"
[[cells]]
host = "a"
guest = ["linux", "spinner"]
vmm = "labvmm"
disruption = "none"
expect = "survives"
tier = "ci"
[[cells]]
host = "a"
guest = "linux"
vmm = "labvmm"
disruption = "vmm-kill"
expect = "dies"
tier = "ci"
[[cells]]
host = "b"
guest = "linux"
vmm = "labvmm"
disruption = "vmm-kill"
options = {orphaning = "async"}
expect = "survives"
tier = "ci"
"""
# What 'judged' would write after a cell, by what came of it: no machine is booted here.
CONFTEST = """
import pytest
from lab.record import shards
from lab.record.model import CellRecord, VerdictRecord
from lab.record.plan import planned

DIES = {"dies": "Lost", "survives": "Survived"}


@pytest.fixture
def said(cell, repeat, pytestconfig):
    plan = planned(cell, repeat=repeat)
    run = pytestconfig.pluginmanager.getplugin("lab-run")
    verdict = VerdictRecord(
        kind=DIES[plan.expectation.kind], reason="so", scope="running", figures={"check": "silence"}
    )
    fields = {name: getattr(plan, name) for name in type(plan).model_fields}
    record = CellRecord(
        **fields, outcome="passed", verdict=verdict, witness={"kind": "Happened"}
    )
    shards.write_cell(run.folder, record)
"""
CELLS = "def test_guest(cell, said): pass\n"
BESIDE = """
import pytest
from lab.testing.unavailable import unavailable_here

def test_one(): pass
def test_two(request):
    if request.config.getoption("--lab-keep") == "failed": pytest.skip("not today")
def test_three(request):
    if request.config.getoption("--lab-keep") == "failed": return
    unavailable_here("no SMM", saw="flags: none")
@pytest.mark.tier("nightly")
def test_rare(): pass
@pytest.mark.needs_cell(mode="swallowed")
def test_below(): pass
@pytest.mark.needs_cell(kernel="reference", orphaning=True)
def test_able(): pass
"""
LIVES = "x86_64-tcg-reference-linux-labvmm-vmm_kill-async"
CONTROL = "x86_64-tcg-stock-linux-labvmm-vmm_kill"
NONE = "x86_64-tcg-stock-linux-labvmm-none"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of topologies with tests beside the cells; nothing of it boots a machine."""
    toml = '[kernel.stock]\nrecipe = "stock"\n[kernel.reference]\nrecipe = "reference"\n'
    (tmp_path / "lab.toml").write_text(f'state = "{tmp_path}/state"\n{toml}', encoding="utf-8")
    there = tmp_path / "topologies"
    there.mkdir()
    (there / "toy.toml").write_text(TOY, encoding="utf-8")
    (there / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    (there / "test_cells.py").write_text(CELLS, encoding="utf-8")
    (there / "test_beside.py").write_text(BESIDE, encoding="utf-8")
    return there


def ran(folder: Path, *options: str, where: str = "") -> tuple[int, str, RunRecord]:
    """Run pytest over the toy; return its status, its last words, and the run's record."""
    argv = [sys.executable, "-m", "pytest", f"{folder}{where}", "-q", "-p", "no:cacheprovider"]
    reports = folder.parent / "reports"
    argv += [f"--lab-reports={reports}", "--lab-accel=tcg", *options]
    said = subprocess.run(
        argv,
        cwd=folder.parent,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    run = next(reports.glob("2*"), None)
    assert run is not None, said.stdout + said.stderr
    return said.returncode, said.stdout + said.stderr, load(run)


def test_a_whole_run_is_green_and_says_of_no_part(folder: Path) -> None:
    status, said, record = ran(folder)
    assert status == 0, said
    assert "AS EXPECTED: 4 of 4 cells as expected, 3 of 4 tests beside them passed" in said
    assert "a part of" not in said
    assert record.plan is not None
    assert (record.plan.cells, record.plan.checks, record.plan.left_out) == (4, 4, {})
    assert record.plan.controls == {LIVES: CONTROL}
    assert {*record.must_run} == {cell.id for cell in record.cells}
    (three,) = (check for check in record.checks if check.id.endswith("test_three"))
    assert (three.outcome, three.first_cause) == ("unavailable", "no SMM; seen: flags: none")


@pytest.mark.parametrize(
    ("options", "where", "part"),
    [
        (["-k", "vmm_kill"], "", "2 of 4 cells and 0 of 4 tests beside them, by -k 'vmm_kill'"),
        ([], "/test_beside.py", "0 of 4 cells and 4 of 4 tests beside them, by "),
        ([], f"/test_cells.py::test_guest[{NONE}]", "1 of 4 cells and 0 of 0 tests"),
    ],
)
def test_a_part_that_was_asked_for_says_so(
    folder: Path, options: list[str], where: str, part: str
) -> None:
    status, said, record = ran(folder, *options, where=where)
    assert status == 0, said
    assert f"AS EXPECTED: a part of the ladder, {part}" in said
    assert "; not a verdict on the whole; " in said
    assert record.plan is not None
    assert record.plan.asked
    assert record.plan.left_out == {}


@pytest.mark.parametrize(
    ("option", "names"),
    [
        (f"--deselect=topologies/test_cells.py::test_guest[{NONE}]", [NONE]),
        ("--deselect=topologies/test_beside.py::test_one", ["topologies/test_beside.py::test_one"]),
        ("--ignore=topologies/test_beside.py", ["topologies/test_beside.py"]),
        ("--ignore=topologies/test_cells.py", [NONE, LIVES, CONTROL]),
    ],
)
def test_what_is_left_out_is_named_and_not_green(
    folder: Path, option: str, names: list[str]
) -> None:
    status, said, record = ran(folder, option)
    assert status == 125, said
    assert "CANNOT TELL: " in said
    assert record.plan is not None
    for name in names:
        assert f"{name} had to run here: " in said
        assert name in record.plan.left_out
    page = next((folder.parent / "reports").glob("2*")) / "index.html"
    assert all(f"<li>{name}: " in page.read_text(encoding="utf-8") for name in names)


def test_what_a_plugin_leaves_out_is_named(folder: Path) -> None:
    more = "\n\ndef pytest_collection_modifyitems(items):\n    items.pop()\n"
    with (folder / "conftest.py").open("a", encoding="utf-8") as conftest:
        conftest.write(more)
    status, said, _ = ran(folder)
    assert status == 125, said
    assert "had to run here: it was collected, and something left it out" in said


def test_a_deselect_is_named_in_a_part_too(folder: Path) -> None:
    options = ["-k", "labvmm", f"--deselect=topologies/test_cells.py::test_guest[{NONE}]"]
    status, said, _ = ran(folder, *options)
    assert status == 125, said
    assert f"{NONE} had to run here: it was left out by --deselect" in said


def test_a_module_of_a_tier_above_is_not_missed(folder: Path) -> None:
    rare = 'import pytest\n@pytest.mark.tier("nightly")\ndef test_rare(): pass\n'
    (folder / "test_rare.py").write_text(rare, encoding="utf-8")
    status, said, _ = ran(folder)
    assert status == 0, said


def test_a_skipped_test_beside_the_cells_is_not_green(folder: Path) -> None:
    status, said, record = ran(folder, "--lab-keep=failed")
    assert status == 125, said
    assert "topologies/test_beside.py::test_two had to run here: it was skipped: not today" in said
    assert [check.outcome.value for check in record.checks].count("skipped") == 1


def test_a_cell_that_leaves_no_record_is_not_green(folder: Path) -> None:
    (folder / "test_cells.py").write_text(
        "import pytest\ndef test_guest(cell, request):\n"
        f"    if cell.id == '{NONE}': pytest.skip('not this one')\n"
        "    request.getfixturevalue('said')\n"
    )
    status, said, _ = ran(folder)
    assert status == 125, said
    assert "1 cannot tell" in said


@pytest.mark.parametrize(
    ("floor", "names"),
    [
        (f'x86_64 = ["{NONE}", "x86_64-tcg-stock-linux-qemu-none"]',
         ["x86_64-tcg-stock-linux-qemu-none had to run here: no topology makes it any more"]),
        ('beside = ["test_beside.py", "test_mutants.py"]',
         ["topologies/test_mutants.py had to run here: this module of tests is gone"]),
    ],
)  # fmt: skip
def test_what_is_gone_is_named(folder: Path, floor: str, names: list[str]) -> None:
    (folder / "must-run.toml").write_text(floor, encoding="utf-8")
    status, said, _ = ran(folder)
    assert status == 125, said
    assert all(name in said for name in names), said
    assert said.count("had to run here") == 1


def test_a_part_is_not_held_against_the_floor(folder: Path) -> None:
    (folder / "must-run.toml").write_text('x86_64 = ["x86_64-tcg-stock-linux-qemu-none"]')
    status, said, _ = ran(folder, "-k", "spinner")
    assert status == 0, said


def test_a_survival_whose_control_was_not_chosen_is_not_green(folder: Path) -> None:
    status, said, record = ran(folder, "-k", "async")
    assert status == 125, said
    assert "1 without a control" in said
    assert f"{LIVES}: uncontrolled: it survived, and its control {CONTROL} is not in this" in said
    assert record.cells[0].outcome == "passed"


def test_a_survival_without_any_control_is_not_green(folder: Path) -> None:
    toy = TOY.replace(
        'disruption = "vmm-kill"\nexpect = "dies"',
        'disruption = "none"\nvcpus = 2\nexpect = "survives"',
    )
    (folder / "toy.toml").write_text(toy, encoding="utf-8")
    status, said, _ = ran(folder)
    assert status == 125, said
    assert "no cell of the topologies is its control" in said


def test_workers_of_xdist_have_one_plan(folder: Path) -> None:
    status, said, record = ran(folder, "-n2", "-k", "vmm_kill")
    assert status == 0, said
    assert "a part of the ladder, 2 of 4 cells" in said
    assert record.plan is not None
    assert record.plan.controls == {LIVES: CONTROL}


@pytest.mark.parametrize(
    ("options", "args", "asked"),
    [
        ({}, ["topologies"], ""),
        ({"keyword": "kexec"}, ["topologies"], "-k 'kexec'"),
        ({"markexpr": "cell", "keyword": "a"}, ["topologies"], "-k 'a' and -m 'cell'"),
        ({"lf": True}, ["topologies"], "--lf"),
        ({"stepwise": True}, ["topologies"], "--sw"),
        (
            {},
            ["topologies/test_beside.py"],
            "topologies/test_beside.py (2 modules of tests were not read)",
        ),
    ],
)
def test_what_chooses_a_part(
    folder: Path, options: dict[str, object], args: list[str], asked: str
) -> None:
    told = {"keyword": "", "markexpr": "", **options}
    config: Any = SimpleNamespace(option=SimpleNamespace(**told), args=args)
    assert asked_for(config, folder, []) == asked
