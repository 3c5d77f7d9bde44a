# SPDX-License-Identifier: Apache-2.0
"""Commands that only look: they touch no hypervisor, and say the same to people and programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.cli import main
from tests.support.cli_lab import own_lab


@pytest.fixture(name="folder", autouse=True)
def a_lab_of_its_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.delenv("LAB_TOML", raising=False)
    with own_lab() as path:
        yield path.parent


def test_a_dry_run_shows_machine_command_line_and_plan(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    assert main(["run", "-d", "vmm-kill", "--vmm", "labvmm", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("cell: x86_64-tcg-stock-linux-labvmm-vmm_kill\n")
    assert '<domain type="qemu">' in out
    assert '<memory unit="MiB">1536</memory>' in out
    assert "  console=ttyS0 panic=-1 " in out
    assert "do vmm-kill, and see that it was done" in out
    assert not (folder / "reports").exists()
    assert not (folder / "cache").exists()


def test_a_dry_run_of_ones_own_tree_says_so(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    assert main(["run", "-d", "kexec", "--lab-kernel", str(folder), "--dry-run"]) == 0
    assert "cell: x86_64-tcg-mine-linux-qemu-kexec\n" in capsys.readouterr().out


def test_vcpu_stop_has_a_length_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "-d", "vcpu-stop", "--dry-run"]) == 0
    assert "do vcpu-stop for 250 ms" in capsys.readouterr().out


def test_a_cell_of_memory_is_judged_as_memory(capsys: pytest.CaptureFixture[str]) -> None:
    words = "run -d kexec --vmm labvmm --memory luo-memfd --expect dies --dry-run"
    assert main(words.split()) == 0
    assert "expected: dies, memory" in capsys.readouterr().out


def test_the_ladder_has_every_cell(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ladder", "--tier", "nightly", "--json"]) == 0
    cells = json.loads(capsys.readouterr().out)
    assert "x86_64-tcg-stock-linux-qemu-vmm_kill" in {cell["id"] for cell in cells}
    assert main(["ladder", "--tier", "nightly"]) == 0
    assert f"{len(cells)} cells of tier nightly" in capsys.readouterr().out


def test_a_machine_with_nothing_on_it_says_what_to_type(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["status"]) == 0
    assert capsys.readouterr().out == "nothing is standing; to boot hosts, type: lab up\n"
    assert main(["status", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"standing": [], "at_work": [], "left_behind": []}


def test_down_with_nothing_up_says_so_and_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert main(["down"]) == 0
        assert "nothing was standing" in capsys.readouterr().out


def test_clean_asks_before_it_removes(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    entry = folder / "cache" / "kernel" / "0123456789abcdef"
    entry.mkdir(parents=True)
    (entry / "bzImage").write_bytes(bytes(range(256)) * 8192)
    assert main(["clean"]) == 0
    assert "holds 2 MiB" in capsys.readouterr().out
    assert entry.exists()
    assert main(["clean", "--yes"]) == 0
    assert "removed 2 MiB" in capsys.readouterr().out
    assert not entry.exists()
    assert main(["clean"]) == 0
    assert "is empty" in capsys.readouterr().out


def test_the_version_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("caretaker-lab ")


def test_the_ladder_names_the_control_of_each_survival(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["ladder", "--json"]) == 0
    told = {each["id"]: each for each in json.loads(capsys.readouterr().out)}
    lives = [i for i in told if i.endswith("-reference-linux-labvmm-vmm_kill-async")]
    (cell_id,) = (i for i in lives if i.startswith("x86_64"))
    control = cell_id.removesuffix("-async")
    assert told[cell_id]["twin"] == control
    assert told[control]["twin"] == ""
    assert main(["ladder"]) == 0
    assert f"; its control: {control}\n" in capsys.readouterr().out
