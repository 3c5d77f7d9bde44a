# SPDX-License-Identifier: Apache-2.0
"""Topology, kernel, disruption and orphaning ABI are added by following docs/howto only."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from lab.build.recipes import recipe_of
from lab.config.load import load_lab
from lab.config.model import Arch
from tests.support.howto import collected, files, followed, lab, lines_to_write, python

HERE = Path(__file__).parent
PARKED = "x86_64-tcg-reference-spinner-labvmm-vmm_segv-async-park"


@pytest.mark.parametrize(
    ("page", "most"),
    [("topology", 30), ("own-kernel", 30), ("disruption", 30), ("orphaning-abi", 100)],
)
def test_an_example_takes_few_lines(page: str, most: int) -> None:
    assert 0 < lines_to_write(page) < most


def test_a_topology_is_one_file(tmp_path: Path) -> None:
    followed("topology", tmp_path)
    shown = lab(tmp_path, "ladder", "--tier", "nightly", "--json")
    assert PARKED in shown
    found = collected(tmp_path, "--lab-tier=nightly", "-k", "spinner and park")
    assert f"topologies/test_cells.py::test_guest[{PARKED}]" in found


def test_a_suite_of_ones_own_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(files("own-suite")["test_mine.py"], encoding="utf-8")
    words = ("--collect-only", "-q", "--strict-markers", "-p", "no:cacheprovider")
    done = python(tmp_path, "-m", "pytest", "test_mine.py", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 tests collected" in done.stdout


def test_a_kernel_is_a_recipe(tmp_path: Path) -> None:
    followed("own-kernel", tmp_path)
    spec = load_lab(tmp_path / "lab.toml").kernel["mine"]
    recipe = recipe_of("mine", spec, Arch.X86_64)
    assert [path.name for path in recipe.fragments] == [
        "common.config",
        "mine.config",
        "x86_64.config",
    ]
    words = ("run", "--kernel", "mine", "-d", "vmm-kill", "--expect", "dies", "--dry-run")
    assert "x86_64-tcg-mine-linux-qemu-vmm_kill" in lab(tmp_path, *words, "--accel", "tcg")


def test_a_disruption_is_a_word_a_deed_and_a_row(tmp_path: Path) -> None:
    followed("disruption", tmp_path)
    words = ("run", "-d", "vmm-term", "--expect", "dies", "--dry-run", "--accel", "tcg")
    assert "x86_64-tcg-stock-linux-qemu-vmm_term" in lab(tmp_path, *words)


@pytest.mark.vm
def test_a_disruption_of_the_docs_ends_a_real_vmm(tmp_path: Path) -> None:
    followed("disruption", tmp_path)
    words = ("run", "-d", "vmm-term", "--expect", "dies", "--json")
    record = json.loads(lab(tmp_path, *words, "--reports", str(tmp_path / "reports")))
    assert record["verdict"]["kind"] == "Lost"
    assert "SIGTERM" in record["witness"]["what"]


def test_an_orphaning_abi_is_a_module_and_two_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout, programs = tmp_path / "checkout", tmp_path / "bin"
    checkout.mkdir()
    programs.mkdir()
    followed("orphaning-abi", checkout)
    program = programs / "orphanctl"
    text = (HERE / "orphanctl.py").read_text(encoding="utf-8")
    program.write_text(f"#!{sys.executable}\n{text}", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    done = python(checkout, str(HERE / "drive_orphanctl.py"), str(programs))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "unsupported": None,
        "at first": "PRESENT",
        "killed": "GONE",
        "without a VMM": True,
        "proof": "none",
        "not adopted": "",
        "replaced": True,
        "adopted": 2,
        "at last": True,
        "old VMM": True,
    }


def test_the_pages_show_files_that_are_checked() -> None:
    assert set(files("orphaning-abi")) == {"lab/guest/handover/orphanctl.py"}
    assert set(files("topology")) == {"topologies/my-host.toml"}
