# SPDX-License-Identifier: Apache-2.0
"""`labvmm hostile` finds the threads of vCPUs, and tells each answer by its name; without KVM."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.vmm import cli
from lab.vmm.commands import keep
from lab.vmm.errors import VmmError
from lab.vmm.fault import hostile
from lab.vmm.machine import control

SIZE = 1 << 20


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Path]:
    """Return the socket of a keeper whose guest is a memfd that no KVM knows."""
    memfd = os.memfd_create("ram")
    os.pwrite(memfd, b"x" * SIZE, 0)
    holder = keep.Keeper()
    fds = {name: os.dup(memfd) for name in ("vm", "ram", "vcpu0")}
    holder.deposit(control.Question({"magic": "x", "memfd": memfd}, fds))
    server = control.Server(tmp_path / "k", {"fetch": holder.fetch})
    yield server.path
    server.close()
    os.close(memfd)


@pytest.fixture
def thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """Return a process that is found as the only thread of a vCPU."""
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as process:
        monkeypatch.setattr(hostile, "vcpu_threads", lambda: [process.pid])
        yield process
        process.kill()


def answers(kept: Path, deed: str, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    assert cli.main(["hostile", "--keeper", str(kept), deed]) == 0
    told: dict[str, str] = json.loads(capsys.readouterr().out)["answers"]
    return told


def test_a_hole_takes_the_memory_away(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert answers(kept, "punch-hole", capsys) == {"fallocate": "ok"}
    description, fds = control.ask(kept, "fetch")
    assert os.pread(fds["ram"], 16, 4096) == bytes(16)
    for fd in fds.values():
        os.close(fd)
    assert description["magic"] == "x"


@pytest.mark.parametrize(
    ("deed", "names"),
    [("run", {"vcpu0"}), ("release", {"KVM_ORPHAN_RELEASE"}), ("memslot", {"create", "delete"})],
)
def test_a_refusal_is_told_by_its_name(
    kept: Path, capsys: pytest.CaptureFixture[str], deed: str, names: set[str]
) -> None:
    told = answers(kept, deed, capsys)
    assert set(told) == names
    assert set(told.values()) == {"ENOTTY"}


def test_threads_are_signalled(
    kept: Path, thread: subprocess.Popen[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    assert answers(kept, "kill-threads", capsys) == {str(thread.pid): "ok"}
    assert thread.wait(5) == -signal.SIGKILL


def test_a_thread_that_was_traced_is_let_go(
    kept: Path, thread: subprocess.Popen[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    assert answers(kept, "trace-threads", capsys) == {str(thread.pid): "stopped"}
    assert "TracerPid:\t0" in Path(f"/proc/{thread.pid}/status").read_text()
    assert thread.poll() is None


def test_threads_are_found_by_name(tmp_path: Path) -> None:
    for pid, name in ((7, "kvm-vcpu/1"), (5, "kvm-vcpu/0"), (6, "kvm-pit/5")):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "comm").write_text(f"{name}\n")
    assert hostile.vcpu_threads(tmp_path) == [5, 7]
    with pytest.raises(VmmError, match="no thread 'kvm-vcpu/"):
        hostile.vcpu_threads(tmp_path / "7")
