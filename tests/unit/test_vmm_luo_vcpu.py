# SPDX-License-Identifier: Apache-2.0
"""labvmm's half of the RFC's vCPU preservation, on a LUO that keeps what it is given."""

from __future__ import annotations

import argparse
import errno
import json
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.vmm.commands import luo_vcpu, verbs
from lab.vmm.errors import VmmError
from lab.vmm.machine import control
from lab.vmm.machine.control import Question, Reply
from lab.vmm.state import liveupdate, snapshot

SAVED = {"magic": snapshot.MAGIC, "version": snapshot.VERSION, "arch": platform.machine(),
         "count": 2, "serial": "AAE=", "state": {"vm": {}, "records": []}}  # fmt: skip


class Luo:
    """LUO: what was done with it in order, and the preserved files by token."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.files: dict[int, int] = {}
        self.refuses = -1
        self.session = os.memfd_create("session")

    def open_device(self) -> int:
        """Open it."""
        return os.memfd_create("device")

    def create(self, _: int, name: str) -> int:
        """Create a session."""
        self.log.append(f"create {name}")
        return os.dup(self.session)

    def preserve_fd(self, _: int, fd: int, token: int) -> None:
        """Preserve, or refuse."""
        if token == self.refuses:
            raise OSError(errno.EBUSY, "LIVEUPDATE_SESSION_PRESERVE_FD: busy")
        self.log.append(f"preserve {token}")
        self.files[token] = os.dup(fd)

    def retrieve(self, _: int, name: str) -> int:
        """Retrieve the session."""
        self.log.append(f"session {name}")
        return os.dup(self.session)

    def retrieve_fd(self, _: int, token: int) -> int:
        """Retrieve a file."""
        self.log.append(f"retrieve {token}")
        return os.dup(self.files[token])

    def finish(self, _: int) -> None:
        """Finish."""
        self.log.append("finish")


@pytest.fixture
def luo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Luo:
    one = Luo()
    for name in ("open_device", "create", "preserve_fd", "retrieve", "retrieve_fd", "finish"):
        monkeypatch.setattr(liveupdate, name, getattr(one, name))
    for cpu in (1, 2):
        (tmp_path / f"cpu{cpu}").mkdir()
        (tmp_path / f"cpu{cpu}/preserve").touch()
    monkeypatch.setattr(luo_vcpu, "CPUS", str(tmp_path))
    monkeypatch.setattr(luo_vcpu, "PREFAULT_S", 0.0)
    return one


@pytest.fixture
def vmm(luo: Luo, tmp_path: Path) -> Iterator[Path]:
    """Return the control socket of a labvmm that does as it is told, and notes it."""
    fds = {name: os.memfd_create(name) for name in ("vm", "ram", "vcpu0", "vcpu1")}
    os.ftruncate(fds["ram"], 4096)

    def verb(name: str, content: dict[str, object], *names: str) -> Any:
        def act(_: Question) -> Reply:
            luo.log.append(name)
            return Reply(content, {n: fds[n] for n in names})

        return act

    server = control.Server(
        tmp_path / "vmm.sock",
        {
            "pause": verb("pause", {}),
            "fds": verb("fds", {}, *fds),
            "resume": verb("resume", {}),
            "save": verb("save", SAVED, "ram"),
            "unsave": verb("unsave", {}),
        },
    )
    yield server.path
    server.close()


def words(*argv: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    luo_vcpu.arguments(parser)
    return parser.parse_args(argv)


def preserve(vmm: Path) -> Any:
    argv = ("preserve", "--session", "s", "--vmm", str(vmm), "--cpus", "1", "2")
    return luo_vcpu.main(words(*argv))


def test_cpus_vm_and_ram_are_preserved_before_any_vcpu(
    luo: Luo, vmm: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And between, the guest runs once more: pinned pages have moved."""
    monkeypatch.setattr("signal.sigwait", lambda _: 15)
    monkeypatch.setattr("signal.pthread_sigmask", lambda *_: None)
    answer = preserve(vmm)
    assert luo.log == [
        "pause", "fds", "create s", "preserve 4097", "preserve 4098", "preserve 2", "preserve 1",
        "resume", "save", "preserve 0", "preserve 16", "preserve 17", "unsave",
    ]  # fmt: skip
    said = json.loads(capsys.readouterr().out)
    assert (said["state"], said["pid"]) == ("preserved", os.getpid())
    assert answer == {"state": "cancelled", "signal": "SIGTERM"}
    assert snapshot.read(luo.files[0])["cpus"] == [1, 2]


@pytest.mark.parametrize("token", [4098, 2, 1, 0, 17])
def test_refused_at_any_step_the_guest_runs_on_where_it_was(
    luo: Luo, vmm: Path, token: int
) -> None:
    luo.refuses = token
    with pytest.raises(OSError, match="busy"):
        preserve(vmm)
    assert luo.log[-1] == "unsave"
    assert f"preserve {token}" not in luo.log


def test_a_cpu_that_cannot_be_preserved_is_no_reason_to_lose_the_guest(
    luo: Luo, vmm: Path, tmp_path: Path
) -> None:
    (tmp_path / "cpu2/preserve").unlink()
    with pytest.raises(FileNotFoundError):
        preserve(vmm)
    assert luo.log[-1] == "unsave"


def test_vcpus_are_retrieved_last_into_a_vm_that_is_whole(
    luo: Luo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    luo.files = {n: os.memfd_create(str(n)) for n in (1, 2, 16, 17, 4097, 4098)}
    os.ftruncate(luo.files[1], 4096)
    luo.files[0] = liveupdate.in_memfd({**SAVED, "cpus": [1, 2]}, "d")

    class Driver:
        def prepare_vm(self) -> None:
            luo.log.append("irqchip")

    def assemble(_: int, __: int, frame: Any, furnish: Any) -> str:
        ram, fds = furnish(Driver())
        assert (frame.vcpus, frame.serial, ram.size, len(fds)) == (2, b"\0\1", 4096, 2)
        return "guest"

    def live(guest: str, _: Path) -> dict[str, object]:
        luo.log.append(f"live {guest}")
        return {}

    monkeypatch.setattr(luo_vcpu, "assemble", assemble)
    monkeypatch.setattr("lab.vmm.kvm.common.open_device", lambda: os.memfd_create("kvm"))
    monkeypatch.setattr("lab.vmm.machine.memory.attach", lambda *_: luo.log.append("memslot"))
    monkeypatch.setattr("lab.vmm.state.vm_x86.parse", lambda state: state)
    monkeypatch.setattr("lab.vmm.state.vm_x86.put_devices", lambda *_: luo.log.append("devices"))
    monkeypatch.setattr(verbs, "live", live)

    console = str(tmp_path / "console")
    luo_vcpu.main(
        words("adopt", "--session", "s", "--socket", f"{tmp_path}/x", "--console", console)
    )

    assert luo.log == [
        "session s", "retrieve 0", "retrieve 1", "retrieve 2", "memslot", "irqchip", "devices",
        "retrieve 16", "retrieve 17", "retrieve 4097", "retrieve 4098", "finish", "live guest",
    ]  # fmt: skip


def test_what_is_no_saved_guest_is_refused_before_its_vcpus_are_stopped(
    luo: Luo, tmp_path: Path
) -> None:
    luo.files = {0: liveupdate.in_memfd({"magic": "other"}, "d")}
    argv = ("adopt", "--session", "s", "--socket", f"{tmp_path}/x", "--console", f"{tmp_path}/c")
    with pytest.raises(VmmError, match="no guest's state"):
        luo_vcpu.main(words(*argv))
    assert luo.log == ["session s", "retrieve 0"]


@pytest.mark.usefixtures("luo")
@pytest.mark.parametrize("there", [True, False])
def test_a_kernel_is_asked_for_each_thing_that_it_needs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, there: bool
) -> None:
    monkeypatch.setattr("lab.vmm.kvm.common.open_device", lambda: os.memfd_create("kvm"))
    monkeypatch.setattr(luo_vcpu, "call", lambda *_: int(there))
    monkeypatch.setattr("platform.machine", lambda: "x86_64" if there else "aarch64")
    monkeypatch.setattr(liveupdate, "DEVICE", str(tmp_path / "liveupdate"))
    if there:
        (tmp_path / "liveupdate").touch()
    else:
        (tmp_path / "cpu1/preserve").unlink()
    lacks = [] if there else [
        str(tmp_path / "liveupdate"), str(tmp_path / "cpu1/preserve"), "KVM_CAP_VCPU_PRESERVE",
        "KVM_CAP_CARETAKER", "labvmm's way to restore what the kernel leaves to it, on aarch64",
    ]  # fmt: skip
    assert luo_vcpu.main(words("probe")) == {"can": there, "lacks": lacks}
