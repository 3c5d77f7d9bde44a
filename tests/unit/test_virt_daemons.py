# SPDX-License-Identifier: Apache-2.0
"""Daemons that a killed lab had just started are known by the note that it left first."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.resources.owner import Owner
from lab.virt import daemons


@pytest.fixture(name="daemon")
def a_process_with_a_pid_file(tmp_path: Path) -> Iterator[tuple[list[str], Owner]]:
    pid_file = tmp_path / "sleeper.pid"
    wait = "import sys; print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", wait, "--pid-file", str(pid_file)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        process.stdout.readline()  # it is that program by now, and not the one that forked
        pid_file.write_text(str(process.pid), encoding="ascii")
        yield command, Owner.of(process.pid)
        process.terminate()


def note(state: Path, command: list[str]) -> Path:
    path = state / "sleeper.starting"
    path.write_text(json.dumps(command), encoding="utf-8")
    return path


def test_what_a_killed_lab_started_is_ours(tmp_path: Path, daemon: tuple[list[str], Owner]) -> None:
    command, process = daemon
    for _ in range(2):  # noted or known already, it is there once
        path = note(tmp_path, command)
        assert daemons._started_here(tmp_path) == [("sleeper", process)]
        assert not path.exists()


def test_what_somebody_else_started_is_not_ours(
    tmp_path: Path, daemon: tuple[list[str], Owner]
) -> None:
    command, _ = daemon
    path = note(tmp_path, [*command, "--verbose"])
    assert daemons._started_here(tmp_path) == []
    assert not path.exists()


def test_what_did_not_start_is_forgotten(tmp_path: Path) -> None:
    path = note(tmp_path, ["sleeper", "--pid-file", str(tmp_path / "none.pid")])
    assert daemons._started_here(tmp_path) == []
    assert not path.exists()
