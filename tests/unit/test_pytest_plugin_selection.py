# SPDX-License-Identifier: Apache-2.0
"""A selection that leaves no cell says so, and is never green."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lab.config.load import load_lab, load_topologies
from lab.config.matrix import expand
from lab.config.model import Cell, Tier
from lab.pytest_plugin.selection import explained, words_of

CHECKOUT = Path(__file__).parents[2]
_EMPTY = 5  # pytest's status for "no test was run"

NIGHTLY_ONLY = """
name = "toy"
description = "all of it is of tier nightly"
[host.a]
arch = "x86_64"
[[cells]]
guest = ["linux", "spinner"]
vmm = "qemu"
disruption = "none"
expect = "survives"
tier = "nightly"
"""


@pytest.fixture(scope="module")
def cells() -> tuple[Cell, ...]:
    lab = load_lab(CHECKOUT / "lab.toml")
    return expand(load_topologies(CHECKOUT / "topologies", lab), lab, accel="tcg")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of topologies whose one test takes a cell and passes."""
    (tmp_path / "lab.toml").write_text('[kernel.stock]\nrecipe = "stock"\n', encoding="utf-8")
    topologies = tmp_path / "topologies"
    topologies.mkdir()
    (topologies / "toy.toml").write_text(NIGHTLY_ONLY, encoding="utf-8")
    (topologies / "test_toy.py").write_text("def test_it(cell): pass\n", encoding="utf-8")
    return topologies


def ran(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "pytest", str(folder), "-q", "-p", "no:cacheprovider"]
    argv += [f"--lab-reports={folder.parent / 'reports'}", "--lab-accel=tcg", *options]
    return subprocess.run(
        argv, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=90
    )


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["-k", "spiner"], "-k 'spiner' matches no cell; close to it: x86_64-tcg-stock-spinner-"),
        (["-n2", "-k", "spiner"], "-k 'spiner' matches no cell"),
        (["-k", "zzz"], "-k 'zzz' matches no cell; 'lab ladder --tier=soak' lists the ids"),
        (["-k", "linux and spinner"], "-k 'linux and spinner' leaves no test"),
    ],
)
def test_a_keyword_that_matches_nothing_says_so(
    folder: Path, options: list[str], told: str
) -> None:
    said = ran(folder, "--lab-tier=nightly", *options)
    assert said.returncode == _EMPTY, said.stdout + said.stderr
    assert said.stdout.count(told) == 1, said.stdout


def test_a_keyword_of_a_higher_tier_says_which(folder: Path) -> None:
    (folder / "toy.toml").write_text(
        NIGHTLY_ONLY + NIGHTLY_ONLY[NIGHTLY_ONLY.index("[[cells]]") :]
        .replace("nightly", "ci").replace('"none"', '"vmm-kill"'),
        encoding="utf-8",
    )  # fmt: skip
    cell_id = "x86_64-tcg-stock-spinner-qemu-none"
    said = ran(folder, "-k", cell_id)
    assert said.returncode == _EMPTY, said.stdout + said.stderr
    assert f"{cell_id} is of tier nightly" in said.stdout
    assert f"type --lab-tier=nightly, or: lab run {cell_id}" in said.stdout


def test_one_misspelt_word_of_two_is_told_beside_what_ran(folder: Path) -> None:
    said = ran(folder, "--lab-tier=nightly", "-k", "linux or spiner", "--collect-only")
    assert said.returncode == 0, said.stdout + said.stderr
    assert "test_it[x86_64-tcg-stock-linux-qemu-none]" in said.stdout
    assert "-k 'spiner' matches no cell" in said.stdout


def test_a_tier_without_cells_is_not_green(folder: Path) -> None:
    said = ran(folder, "--lab-tier=ci")
    assert said.returncode == _EMPTY, said.stdout + said.stderr
    assert "tier ci has no cell here: type --lab-tier=soak" in said.stdout


def test_a_selection_that_matches_says_nothing(folder: Path) -> None:
    said = ran(folder, "--lab-tier=nightly", "-k", "spinner and not vmm_kill", "--collect-only")
    assert said.returncode == 0, said.stdout + said.stderr
    assert "selection" not in said.stdout


@pytest.mark.parametrize(
    ("keyword", "words"),
    [
        ("vmm_kill", ["vmm_kill"]),
        ("x86_64-tcg-stock and (qemu or labvmm)", ["x86_64-tcg-stock", "qemu", "labvmm"]),
        ("kexec and not qemu", ["kexec"]),
        ("not (qemu or kexec) and linux", ["linux"]),
        ("notes", ["notes"]),
        ("", []),
    ],
)
def test_words_of_a_keyword(keyword: str, words: list[str]) -> None:
    assert words_of(keyword) == words


def test_an_id_of_a_higher_tier_is_not_called_misspelt(cells: tuple[Cell, ...]) -> None:
    nightly = next(cell for cell in cells if cell.tier is Tier.NIGHTLY)
    assert "matches no cell of tier ci" in explained(nightly.id, cells, Tier.CI)
    assert "close to it" in explained(nightly.id.replace("stock", "stok"), cells, Tier.CI)
