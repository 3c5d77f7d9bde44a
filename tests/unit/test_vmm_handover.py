# SPDX-License-Identifier: Apache-2.0
"""The keeper, what it is given and gives, and the refusal of what an adopter does not know."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.deadline import Deadline, until
from lab.vmm.commands import keep
from lab.vmm.errors import VmmError
from lab.vmm.machine import control
from lab.vmm.state import handover

ROOT = Path(__file__).parents[2]
NAMES = ("vm", "ram", "state", "console", "vcpu0", "vcpu1")
DEVICES = ("16550",)
GIVEN: dict[str, object] = {
    "magic": handover.MAGIC,
    "version": handover.VERSION,
    "arch": platform.machine(),
    "parts": ["vcpus", "journal", "console", "gmem", "16550"],
    "vcpus": 2,
    "run_size": 12288,
    "ram": {"base": 0, "size": 1 << 20},
    "protected": False,
    "console": "/run/console",
    "policy": "run",
}


@pytest.fixture
def fds() -> Iterator[dict[str, int]]:
    made = {name: os.memfd_create(name) for name in NAMES}
    for name, fd in made.items():
        os.write(fd, name.encode())
    yield made
    for fd in made.values():
        os.close(fd)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Return the socket of a keeper in a process of its own."""
    with started(tmp_path / "keeper.sock") as process:
        yield tmp_path / "keeper.sock"
        process.kill()


@pytest.fixture
def public() -> Iterator[Path]:
    """Return a folder that any user may enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


def started(path: Path, *words: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "lab.vmm", "keep", "--socket", str(path), *words]
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["state"] == "ready"
    return process


def close(fds: dict[str, int]) -> None:
    for fd in fds.values():
        os.close(fd)


def test_what_was_brought_can_be_fetched_again_and_again(place: Path, fds: dict[str, int]) -> None:
    control.ask(place, "deposit", GIVEN, fds)
    for _ in range(2):
        description, came = control.ask(place, "fetch")
        assert handover.read(description, came, DEVICES).vcpus == 2
        assert {name: os.pread(fd, 8, 0).decode() for name, fd in came.items()} == {
            name: name for name in NAMES
        }
        close(came)


def test_a_keeper_holds_each_descriptor_once_and_maps_none(
    place: Path, fds: dict[str, int]
) -> None:
    before = held(place)
    control.ask(place, "deposit", GIVEN, fds)
    with pytest.raises(VmmError, match="refused 'deposit': this keeper has a guest"):
        control.ask(place, "deposit", GIVEN, fds)
    close(control.ask(place, "fetch")[1])
    # A thread of the keeper's closes the connections before, and what came with them, in its time.
    until("six more", lambda: held(place) - before == len(NAMES) or None, Deadline.after(10))
    pid = peer(place)
    assert "/memfd:" not in Path(f"/proc/{pid}/maps").read_text()


def held(place: Path) -> int:
    """Count the keeper's descriptors; one is that of the connection."""
    with control.connected(place) as client:
        pid = _peer_of(client)
        client.sendall(b'"status"\n')
        client.recv(1 << 16)
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def peer(place: Path) -> int:
    with control.connected(place) as client:
        return _peer_of(client)


def _peer_of(client: socket.socket) -> int:
    pid, _, _ = control.CREDENTIALS.unpack(
        client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    )
    return int(pid)


def test_an_empty_keeper_has_nothing_to_give(place: Path) -> None:
    with pytest.raises(VmmError, match="refused 'fetch': this keeper has no guest"):
        control.ask(place, "fetch")


@pytest.mark.parametrize("content", [{}, {"version": 1}])
def test_a_deposit_that_is_no_hand_over_is_refused(
    place: Path, fds: dict[str, int], content: dict[str, object]
) -> None:
    with pytest.raises(VmmError, match="the deposit is no hand-over"):
        control.ask(place, "deposit", content, fds)


def test_another_keeper_takes_the_place_of_one_that_is_killed(
    place: Path, tmp_path: Path, fds: dict[str, int]
) -> None:
    control.ask(place, "deposit", GIVEN, fds)
    with started(tmp_path / "second.sock", "--also-from", str(place)) as second:
        os.kill(peer(place), 9)
        description, came = control.ask(tmp_path / "second.sock", "fetch")
        assert handover.read(description, came, DEVICES) is not None
        close(came)
        second.kill()


def test_a_keeper_can_be_short_of_a_descriptor_and_that_is_told(
    place: Path, tmp_path: Path, fds: dict[str, int]
) -> None:
    control.ask(place, "deposit", GIVEN, fds)
    words = ("--also-from", str(place), "--without", "vcpu1")
    with started(tmp_path / "second.sock", *words) as second:
        description, came = control.ask(tmp_path / "second.sock", "fetch")
        with pytest.raises(VmmError, match="lacks descriptors: vcpu1"):
            handover.read(description, came, DEVICES)
        close(came)
        second.kill()


def test_drop_ends_it_and_leaves_no_socket(tmp_path: Path) -> None:
    path = tmp_path / "k"
    with started(path) as process:
        assert control.ask(path, "drop")[0]["dropped"] == []
        assert process.wait(10) == 0
    assert not path.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_another_user_gets_nothing(fds: dict[str, int], public: Path) -> None:
    holder = keep.Keeper()
    holder.deposit(control.Question(dict(GIVEN), {k: os.dup(fd) for k, fd in fds.items()}))
    server = control.Server(public / "s", {"fetch": holder.fetch})
    server.path.chmod(0o666)
    ask = (
        "import os, socket, sys; os.setresuid(65534, 65534, 65534)\n"
        "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(b'\"fetch\"\\n')\n"
        "text, fds, _, _ = socket.recv_fds(s, 4096, 64); print(text.decode(), len(fds))"
    )
    said = subprocess.run(
        [sys.executable, "-c", ask, str(server.path)], capture_output=True, text=True, check=True
    )
    server.close()
    assert "belongs to user 0: user 65534 may not use it" in said.stdout
    assert said.stdout.strip().endswith(" 0")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"magic": "other"}, "no hand-over of labvmm's"),
        ({"version": 2}, "version 2; this labvmm knows 1"),
        ({"arch": "riscv64"}, "for riscv64, this is"),
        ({"parts": ["vcpus", "virtio-net", "gmem", "tpm"]}, "does not know: tpm, virtio-net"),
        ({"vcpus": 3}, "lacks descriptors: vcpu2"),
        ({"ram": 5}, "cannot be understood: TypeError: 'ram' is no table"),
        ({"run_size": "x"}, "cannot be understood: ValueError"),
    ],
)
def test_what_it_does_not_know_is_refused(
    fds: dict[str, int], change: dict[str, object], message: str
) -> None:
    with pytest.raises(VmmError, match=message):
        handover.read({**GIVEN, **change}, fds, DEVICES)


@pytest.mark.parametrize("name", NAMES)
def test_a_descriptor_that_is_missing_is_named(fds: dict[str, int], name: str) -> None:
    some = {k: fd for k, fd in fds.items() if k != name}
    with pytest.raises(VmmError, match=f"lacks descriptors: {name}"):
        handover.read(GIVEN, some, DEVICES)


def test_descriptors_that_nobody_takes_are_closed(tmp_path: Path, fds: dict[str, int]) -> None:
    server = control.Server(tmp_path / "s", {"status": lambda _: control.Reply({})})
    assert copies(fds) == len(fds)
    for _ in range(5):
        control.ask(server.path, "status", {}, fds)
    with pytest.raises(VmmError, match="unknown verb"):
        control.ask(server.path, "dance", {}, fds)
    server.close()
    until("only ours", lambda: copies(fds) == len(fds) or None, Deadline.after(10))


def copies(fds: dict[str, int]) -> int:
    """Count this process' descriptors of these very files; other tests' threads close theirs."""
    files, found = {os.fstat(fd).st_ino for fd in fds.values()}, 0
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found += "memfd:" in str(link.readlink()) and link.stat().st_ino in files
    return found


def test_a_dead_labvmms_socket_is_removed_and_a_live_ones_is_not(tmp_path: Path) -> None:
    server = control.Server(tmp_path / "s", {})
    control.remove_stale(server.path)
    assert server.path.exists()
    server.close()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "s"))
    control.remove_stale(tmp_path / "s")
    assert not server.path.exists()
    control.remove_stale(tmp_path / "s")
