# SPDX-License-Identifier: Apache-2.0
"""A run ends with a hash tree, signed where there is a key; no failure to sign spoils a run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from lab.record.files import load
from lab.report import publish
from lab.verify import manifest
from lab.verify.run import verify
from lab.verify.signature import fingerprint
from tests.support.stored_run import LIVES, made


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = made(tmp_path / "reports")
    manifest.unseal(folder)
    return folder


def test_a_run_that_ends_has_a_hash_tree_that_is_told(run: Path) -> None:
    told: list[str] = []
    publish.finish(run, tell=told.append)
    assert told == [f"hash tree: {manifest.load(run).root}"]
    assert verify(run).status == 0


def test_a_run_is_signed_by_the_key_of_lab_toml(run: Path, tmp_path: Path) -> None:
    key, told = tmp_path / "own", list[str]()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    publish.finish(run, sign_with=key, tell=told.append)
    assert told[1:] == [f"signed by: {fingerprint(key)}"]
    assert verify(run, trusted=fingerprint(key)).status == 0


def test_a_key_that_asks_for_a_passphrase_signs_nothing_and_spoils_nothing(
    run: Path, tmp_path: Path
) -> None:
    key, told = tmp_path / "locked", list[str]()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "words", "-f", str(key)], check=True)
    record = publish.finish(run, sign_with=key, tell=told.append)
    assert record.ended is not None
    assert "manifest.json is not signed: " in told[1]
    assert "ssh-add" in told[1]
    assert verify(run).status == 0


def test_evidence_that_is_no_file_is_told_and_spoils_no_report(run: Path) -> None:
    os.mkfifo(run / "evidence" / LIVES / "pipe")
    told: list[str] = []
    publish.finish(run, tell=told.append)
    assert "the run cannot be verified: " in told[0]
    assert "no regular file" in told[0]
    assert load(run).ended is not None


def test_pages_that_are_made_again_are_no_change(run: Path) -> None:
    publish.finish(run)
    publish.publish(run)
    assert verify(run).status == 0
