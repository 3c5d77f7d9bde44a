# SPDX-License-Identifier: Apache-2.0
"""labvmm's control socket, its commands on real processes, and the zipapp; all without KVM."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.vmm import cli, pack
from lab.vmm.errors import VmmError
from lab.vmm.machine import control


def refuse(_: control.Question) -> control.Reply:
    raise VmmError("the guest is running", hint="pause it first")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[control.Server]:
    memfd = os.memfd_create("guest")
    os.write(memfd, b"guest ram")
    verbs: control.Verbs = {
        "status": lambda _: control.Reply({"state": "paused"}),
        "regs": refuse,
        "fds": lambda _: control.Reply({"state": "paused"}, {"ram": memfd, "vm": memfd}),
    }
    made = control.Server(tmp_path / "s", verbs)
    yield made
    made.close()
    os.close(memfd)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as process:
        yield process
        process.kill()


def test_a_question_gets_its_answer(server: control.Server) -> None:
    answer, fds = control.ask(server.path, "status")
    assert answer == {"ok": True, "state": "paused", "fds": []}
    assert fds == {}


def test_descriptors_come_across_under_their_names(server: control.Server) -> None:
    _, fds = control.ask(server.path, "fds")
    assert sorted(fds) == ["ram", "vm"]
    assert os.pread(fds["ram"], 9, 0) == b"guest ram"
    for fd in fds.values():
        os.close(fd)


def test_a_refusal_is_an_error_with_its_reason(server: control.Server) -> None:
    with pytest.raises(VmmError, match=r"refused 'regs': the guest is running"):
        control.ask(server.path, "regs")


def test_an_unknown_verb_is_told_which_there_are(server: control.Server) -> None:
    with pytest.raises(VmmError, match="unknown verb 'dance'\nhint: one of status, regs, fds"):
        control.ask(server.path, "dance")


def test_one_client_may_ask_many_times_and_rubbish_does_no_harm(server: control.Server) -> None:
    with control.connected(server.path) as client, client.makefile("rwb") as lines:
        for question, ok in ((b"{rubbish\n", False), (b'"status"\n', True), (b"[]\n", False)):
            lines.write(question)
            lines.flush()
            assert json.loads(lines.readline())["ok"] is ok


def test_only_the_owner_may_use_the_socket(server: control.Server) -> None:
    assert stat.S_IMODE(server.path.stat().st_mode) == 0o600


def test_a_socket_in_use_is_not_taken_away(server: control.Server) -> None:
    with pytest.raises(VmmError, match="Address already in use"):
        control.Server(server.path, {})
    assert control.ask(server.path, "status")[0]["ok"]


def test_nobody_listening_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(VmmError, match="no labvmm listens on"):
        control.ask(tmp_path / "none", "status")


def test_stop_lasts_as_requested_and_its_brackets_nest(
    sleeper: subprocess.Popen[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["vcpu-stop", "--pid", str(sleeper.pid), "--ms", "50"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["stop_ns"] >= 50_000_000
    assert told["outer"]["from_ns"] <= told["stopped_at_ns"]
    assert told["continued_at_ns"] <= told["outer"]["to_ns"]
    assert sleeper.poll() is None


def test_a_segfault_is_seen_to_be_the_end(
    sleeper: subprocess.Popen[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["segv", "--pid", str(sleeper.pid)]) == 0
    assert json.loads(capsys.readouterr().out)["gone"]
    assert sleeper.wait(5) == -11


def test_a_process_that_is_not_there_is_a_clear_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["vcpu-stop", "--pid", "4194304", "--ms", "1"]) == 1
    assert capsys.readouterr().err == "labvmm vcpu-stop: there is no process 4194304\n"


def test_the_same_sources_make_the_same_zipapp(tmp_path: Path) -> None:
    pack.pack(tmp_path / "a.pyz")
    pack.pack(tmp_path / "b.pyz")
    assert (tmp_path / "a.pyz").read_bytes() == (tmp_path / "b.pyz").read_bytes()


def test_compiled_modules_are_taken_instead_of_their_sources(tmp_path: Path) -> None:
    def compiled(folder: Path) -> None:
        line = [sys.executable, "-m", "compileall", "-q", "-b", "--invalidation-mode"]
        subprocess.run([*line, "unchecked-hash", folder], check=True)
        for source in folder.glob("*.py"):
            source.write_text("raise SystemExit('compiled anew')")

    pack.pack(tmp_path / "labvmm.pyz", compiled)
    line = [sys.executable, "-I", str(tmp_path / "labvmm.pyz"), "run", "--help"]
    told = subprocess.run(line, capture_output=True, text=True, check=False)
    assert (told.returncode, "labvmm run" in told.stdout) == (0, True), told.stderr


@pytest.mark.parametrize("command", list(cli.COMMANDS))
def test_every_command_explains_itself_from_the_zipapp(tmp_path: Path, command: str) -> None:
    pack.pack(tmp_path / "labvmm.pyz")
    line = [sys.executable, "-I", str(tmp_path / "labvmm.pyz"), command, "--help"]
    told = subprocess.run(line, capture_output=True, text=True, check=True)
    assert f"labvmm {command}" in told.stdout
