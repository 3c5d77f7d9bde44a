# SPDX-License-Identifier: Apache-2.0
"""What the command says to input that is wrong: one clear line, a hint, status 2, nothing left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.cli import main
from tests.support.cli_lab import own_lab


@pytest.fixture(name="toml", autouse=True)
def a_lab_of_its_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.delenv("LAB_TOML", raising=False)
    with own_lab() as path:
        yield path


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    out, err = capsys.readouterr()
    assert not out
    return err.splitlines()


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("frob", "lab: No such command 'frob'.", "hint: lab --help"),
        ("run", "lab: lab run: neither a CELL_ID nor --disruption was given", "hint: to list"),
        ("run -d none --frob", "lab: No such option: --frob", "hint: lab run --help"),
        (
            "run -d none --vcpus many",
            "lab: Invalid value for '--vcpus': Input should be a valid integer",
            "hint: lab run --help",
        ),
        (
            "run -d none --kernel stok",
            "lab: lab run: no kernel 'stok' in lab.toml",
            "hint: did you mean 'stock'?",
        ),
        (
            "run -d vmm-kill --stop-ms 5",
            "lab: lab run: 'stop_ms' has no effect on 'vmm-kill'",
            "hint: it is for 'vcpu-stop' only",
        ),
        (
            "run -d cpr-transfer --vmm labvmm",
            "lab: lab run: 'cpr-transfer' is something that only qemu can do",
            "hint: type --vmm=qemu",
        ),
        ("up nowhere.toml", "lab: nowhere.toml: no such file", "hint: "),
        ("--lab-toml no.toml status", "lab: no.toml: no such file", "hint: "),
        ("ssh a", "lab: no host 'a' is standing", "hint: nothing is standing; 'lab up' makes it"),
        ("console a", "lab: no host 'a' is standing", "hint: nothing is standing"),
        ("kernel build fast", "lab: lab.toml: no kernel 'fast'", "hint: there are: debian, stock"),
        ("report", "lab: reports/latest: no report is there", "hint: make one: pytest topologies"),
    ],
)
def test_a_wrong_word_is_told_in_one_line(
    capsys: pytest.CaptureFixture[str], line: str, message: str, hint: str
) -> None:
    assert main(line.split()) == 2
    first, *rest = said(capsys)
    assert first.startswith(message)
    assert [r[: len(hint)] for r in rest] == [hint]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[host]\nvcpu = 2\n", "lab: lab.toml: host: unknown key 'vcpu'"),
        ("[host]\nvcpus = 'two'\n", "lab: lab.toml: host.vcpus: expected "),
        ("[host\n", "lab: lab.toml: line 1"),
    ],
)
def test_a_wrong_lab_toml_is_told_by_every_command(
    toml: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    toml.write_text(text, encoding="utf-8")
    for command in ("up", "down", "status", "doctor", "ladder", "run -d none", "clean"):
        assert main(command.split()) == 2, command
        assert said(capsys)[0].startswith(message), command


def test_a_misspelt_topology_is_guessed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "x86_64-one-hots"]) == 2
    first, second = said(capsys)
    assert first.startswith("lab: no topology 'x86_64-one-hots' in ")
    assert second == "hint: did you mean 'x86_64-one-host'?"


def test_a_mistake_leaves_nothing_behind(toml: Path) -> None:
    assert main(["run", "-d", "none", "--kernel", "stok"]) == 2
    assert main(["up", "nowhere.toml"]) == 2
    assert not (toml.parent / "reports").exists()
    assert not (toml.parent / "cache").exists()
    assert not list(toml.parent.glob("state/runs/*"))


def test_debug_shows_where_it_came_from() -> None:
    with pytest.raises(Exception, match="no such file"):
        main(["--debug", "--lab-toml", "no.toml", "status"])


def test_oversized_topology_is_refused_before_building(
    toml: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (toml.parent / "topologies").mkdir()
    (toml.parent / "topologies/big.toml").write_text(
        """
name = "big"
description = "more than there is"
[host.a]
arch = "x86_64"
memory_mib = 99999999
[[cells]]
guest = "linux"
vmm = "qemu"
disruption = "none"
expect = "survives"
tier = "ci"
""",
        encoding="utf-8",
    )
    assert main(["up", "big"]) == 2
    first, second = said(capsys)
    assert first.startswith("lab: topology big asks for 99999999 MiB, but the lab has ")
    assert "budget.memory_mib" in second
    assert not (toml.parent / "cache").exists()


def test_unreachable_libvirt_is_reported_before_building(
    toml: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = "qemu+unix:///system?socket=/nowhere"
    text = toml.read_text(encoding="utf-8").replace("test:///default", nowhere)
    toml.write_text(text, encoding="utf-8")
    assert main(["up"]) == 3
    first, second = said(capsys)
    assert first.startswith(f"lab: no libvirt answers at {nowhere}: ")
    assert second == "hint: type: lab doctor"
    assert not (toml.parent / "cache").exists()
