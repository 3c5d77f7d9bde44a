# SPDX-License-Identifier: Apache-2.0
"""Help is shown by every command that is asked for it, and is never run as a command."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from lab.cli import main, ssh_console
from tests.support.cli_lab import own_lab


@pytest.fixture(autouse=True)
def a_lab_of_its_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.delenv("LAB_TOML", raising=False)
    with own_lab() as path:
        yield path


@pytest.mark.parametrize("option", ["-h", "--help"])
@pytest.mark.parametrize(
    "words",
    ["", "ssh", "ssh a", "console", "console a", "kernel", "kernel build", "selftest", "nightly",
     "run", "up", "down"],
)  # fmt: skip
def test_help_is_shown(capsys: pytest.CaptureFixture[str], words: str, option: str) -> None:
    assert main([*words.split(), option]) == 0
    out, err = capsys.readouterr()
    command = " ".join(["lab", *words.split()]).removesuffix(" a")
    assert out.startswith(f"Usage: {command} ")
    assert not err


@pytest.mark.parametrize("words", ["", "kernel"])
def test_a_group_alone_shows_its_help_on_lines_of_its_own(
    capsys: pytest.CaptureFixture[str], words: str
) -> None:
    assert main(words.split()) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith(f"Usage: {' '.join(['lab', *words.split()])} [OPTIONS]")
    assert len(err.splitlines()) > 8


@pytest.mark.parametrize("line", ["a ls -l --help", "a -- ls -l --help"])
def test_options_of_a_remote_command_are_its_own(
    monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(ssh_console, "_find", lambda *_: SimpleNamespace())
    monkeypatch.setattr(ssh_console, "ssh_options", lambda _: ["root@127.0.0.1"])
    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/ssh")
    monkeypatch.setattr(os, "execv", lambda _, argv: ran.append(argv))
    monkeypatch.setattr(ssh_console, "open_session", lambda *_: pytest.fail("ssh was not run"))
    with pytest.raises((pytest.fail.Exception, AttributeError)):
        main(["ssh", *line.split()])  # execv returned here, as it never does
    assert ran == [["/usr/bin/ssh", "root@127.0.0.1", "ls -l --help"]]


def test_an_option_is_not_run_as_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ssh", "a", "--hepl"]) == 2
    first, hint = capsys.readouterr().err.splitlines()
    assert first == "lab: lab ssh: '--hepl' is no command"
    assert hint == "hint: type: lab ssh a COMMAND [ARGS]..."
