# SPDX-License-Identifier: Apache-2.0
"""`lab verify`: which run is meant, what is printed, and the exit status."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from lab.cli.app import main
from lab.verify import manifest
from lab.verify.signature import sign
from tests.support.stored_run import DIES, LIVES, made

BEATS = f"evidence/{LIVES}/beats.json.gz"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = made(tmp_path / "reports")
    (folder.parent / "latest").symlink_to(folder.name)
    return folder


def verified(run: Path, *words: str) -> int:
    return main(["verify", f"--reports={run.parent}", *words])


@pytest.mark.parametrize("named", ["51a7", "last", "folder"])
def test_a_run_is_meant_by_id_folder_or_last(
    run: Path, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verified(run, str(run) if named == "folder" else named) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"run: {run.name}\nhash tree: ")
    assert said.endswith(
        "2 verified, 1 not judged\n"
        "exit status 0: every verdict, check and figure comes out the same\n"
    )


@pytest.mark.parametrize("named", ["none", "reports", "../reports", ""])
def test_what_is_no_run_is_a_mistake(
    run: Path, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verified(run, named) == 2
    assert "hint: try: ls " in capsys.readouterr().err


def test_an_id_of_two_runs_is_a_mistake(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run.with_name("20261130T000000Z-51a7").symlink_to(run.name)
    other = run.with_name("20261129T000000Z-51a7")
    other.mkdir()
    (other / "run.json").touch()
    assert verified(run, "51a7") == 2
    assert f"{other.name}" in capsys.readouterr().err


def test_a_byte_is_told_with_its_file(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = bytearray((run / BEATS).read_bytes())
    raw[99] ^= 1
    (run / BEATS).write_bytes(raw)
    assert verified(run, "last") == 1
    said = capsys.readouterr().out
    assert f"\n{LIVES}: evidence changed\n  {BEATS} was changed\n" in said
    assert said.endswith("exit status 1: something differs\n")


def test_json_has_all_of_it(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / BEATS).unlink()
    assert verified(run, "last", "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["status"], told["hash_tree"]) == (1, manifest.load(run).root)
    assert {cell["cell"]: cell["state"] for cell in told["cells"]} == {
        LIVES: "evidence changed", DIES: "verified", "x86_64-tcg-stock-sev": "not judged",
    }  # fmt: skip
    assert told["cells"][0]["reasons"][0] == f"{BEATS} is missing"


def test_a_run_without_a_hash_tree_cannot_be_told(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / manifest.NAME).unlink()
    assert verified(run, "last") == 125
    said = capsys.readouterr().out
    assert "hash tree: none, not signed\ncannot be told: it has no hash tree" in said


def test_a_key_that_has_to_have_signed_it(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("own", "other"):
        key = str(tmp_path / name)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    assert verified(run, "last", f"--signed-by={tmp_path / 'own.pub'}") == 125
    own = sign(run / manifest.NAME, tmp_path / "own")
    assert verified(run, "last", f"--signed-by={tmp_path / 'own.pub'}") == 0
    assert f", signed by {own}\n" in capsys.readouterr().out
    assert verified(run, "last", f"--signed-by={tmp_path / 'other'}") == 1
    assert verified(run, "last", f"--signed-by={run / 'run.json'}") == 2
    assert "is no key of SSH's" in capsys.readouterr().err


def test_the_key_of_lab_toml_has_to_have_signed_it(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = str(tmp_path / "own")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    (tmp_path / "lab.toml").write_text(f'[report]\nsign_with = "{key}"\n')
    monkeypatch.chdir(tmp_path)
    assert verified(run, "last") == 125
    sign(run / manifest.NAME, tmp_path / "own")
    assert verified(run, "last") == 0
