# SPDX-License-Identifier: Apache-2.0
"""A machine's memory file is found by its QEMU's command line, and read at physical addresses."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.virt.memory_file import MemoryFile, memory_file

MIB = 1 << 20
GIB = 1 << 30


@pytest.fixture
def backend() -> Iterator[int]:
    fd = os.memfd_create("memory-backend-memfd")
    yield fd
    os.close(fd)


def process(proc: Path, fd: int, name: str = "lab-1") -> Path:
    """Make a /proc in which this very process is the QEMU of `name`."""
    here = proc / "4242"
    (here / "fd").mkdir(parents=True)
    words = ["qemu-system-x86_64", "-name", f"guest={name},debug-threads=on"]
    (here / "cmdline").write_bytes("\0".join(words).encode())
    (here / "fd" / "9").symlink_to(f"/proc/{os.getpid()}/fd/{fd}")
    return proc


@contextlib.contextmanager
def opened(proc: Path, fd: int, size: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryFile]:
    os.truncate(fd, size)
    link = Path(f"/proc/self/fd/{fd}").readlink()
    monkeypatch.setattr(Path, "readlink", lambda _: link)  # a link to a link, here only
    with memory_file("lab-1", size, process(proc, fd)) as found:
        assert found is not None
        yield found


def test_what_the_machine_wrote_is_found_at_its_physical_address(
    tmp_path: Path, backend: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path, backend, 64 * MIB, monkeypatch) as memory:
        os.pwrite(backend, b"beacon", 20 * MIB)
        assert memory.read(20 * MIB, 6) == b"beacon"
        assert [(s.phys, s.size >= 4096) for s in memory.stretches] == [(20 * MIB, True)]


def test_what_is_above_the_hole_of_a_large_machine_is_found_above_4_gib(
    tmp_path: Path, backend: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path, backend, 3 * GIB, monkeypatch) as memory:
        os.pwrite(backend, b"beacon", 2 * GIB + MIB)
        assert memory.read(4 * GIB + MIB, 6) == b"beacon"
        assert [s.phys for s in memory.stretches] == [4 * GIB + MIB]
        with pytest.raises(OSError, match="no memory at 0x80000000"):
            memory.read(2 * GIB, 6)


def test_a_stretch_over_the_hole_is_two(
    tmp_path: Path, backend: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path, backend, 3 * GIB, monkeypatch) as memory:
        os.pwrite(backend, bytes(2 * MIB), 2 * GIB - MIB)
        assert [(s.phys, s.size) for s in memory.stretches] == [
            (2 * GIB - MIB, MIB),
            (4 * GIB, MIB),
        ]


def test_another_machines_memory_is_not_taken(tmp_path: Path, backend: int) -> None:
    os.truncate(backend, MIB)
    with memory_file("lab-11", MIB, process(tmp_path, backend)) as found:
        assert found is None


def test_a_search_allocates_no_memory_of_the_machine(
    tmp_path: Path, backend: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path, backend, 64 * MIB, monkeypatch) as memory:
        assert memory.read(0, MIB) == bytes(MIB)
        assert list(memory.stretches) == []
