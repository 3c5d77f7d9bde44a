# SPDX-License-Identifier: Apache-2.0
"""A machine's RAM is found in its QEMU, and read at physical addresses; here QEMU is this test."""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.virt.memory_view import Layout, memory_view

MIB, GIB = 1 << 20, 1 << 30
PAGE = 4096
SIZE = 24 * MIB + PAGE  # no other mapping of this process is as large
Ram = Callable[..., memoryview]


@pytest.fixture
def ram() -> Iterator[Ram]:
    """Return a function that maps RAM as QEMU does, between pages that nobody may touch."""
    made: list[tuple[mmap.mmap, memoryview]] = []
    libc = ctypes.CDLL(None, use_errno=True)

    def mapped(size: int = SIZE, kind: int = mmap.MAP_PRIVATE) -> memoryview:
        whole = mmap.mmap(-1, size + 2 * PAGE, kind | mmap.MAP_ANONYMOUS)
        start = ctypes.addressof(ctypes.c_char.from_buffer(whole))
        for guard in (start, start + PAGE + size):
            assert libc.mprotect(ctypes.c_void_p(guard), ctypes.c_size_t(PAGE), 0) == 0
        made.append((whole, memoryview(whole)[PAGE:-PAGE]))
        return made[-1][1]

    yield mapped
    for whole, view in made:
        view.release()
        whole.close()


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """Return a /proc in which this very process is the QEMU of lab-1."""
    here = tmp_path / "4242"
    here.mkdir()
    (here / "cmdline").write_bytes(b"qemu-system-x86_64\0-name\0guest=lab-1,debug-threads=on")
    for name in ("mem", "maps", "pagemap"):
        (here / name).symlink_to(f"/proc/{os.getpid()}/{name}")
    return tmp_path


@pytest.mark.parametrize("kind", [mmap.MAP_PRIVATE, mmap.MAP_SHARED])
def test_what_the_machine_wrote_is_found_at_its_physical_address(
    ram: Ram, proc: Path, kind: int
) -> None:
    memory = ram(kind=kind)
    memory[20 * MIB : 20 * MIB + 6] = b"beacon"
    with memory_view("lab-1", Layout(SIZE), proc) as view:
        assert view is not None
        assert view.read(20 * MIB, 6) == b"beacon"
        found = [phys + at for phys, data in view.pieces() if (at := data.find(b"beacon")) >= 0]
        assert found == [20 * MIB]


def test_the_last_piece_ends_where_the_ram_does(ram: Ram, proc: Path) -> None:
    memory = ram()
    memory[SIZE - 6 : SIZE] = b"beacon"
    with memory_view("lab-1", Layout(SIZE), proc) as view:
        assert view is not None
        *_, (phys, data) = view.pieces()
        assert (phys + len(data), bytes(data[-6:])) == (SIZE, b"beacon")


def test_what_was_never_written_is_not_read(ram: Ram, proc: Path) -> None:
    ram()
    with memory_view("lab-1", Layout(SIZE), proc) as view:
        assert view is not None
        assert list(view.pieces()) == []


def test_ram_that_begins_elsewhere_is_found_there(ram: Ram, proc: Path) -> None:
    memory = ram()
    memory[4096:4102] = b"beacon"
    with memory_view("lab-1", Layout(SIZE, base=GIB), proc) as view:
        assert view is not None
        assert view.read(GIB + 4096, 6) == b"beacon"
        with pytest.raises(OSError, match="no memory at 0x1000"):
            view.read(4096, 6)


@pytest.mark.parametrize(
    ("offset", "phys"), [(0, 0), (2 * GIB - 1, 2 * GIB - 1), (2 * GIB, 4 * GIB)]
)
def test_a_large_machine_has_the_rest_above_4_gib(offset: int, phys: int) -> None:
    layout = Layout(3 * GIB)
    assert (layout.phys(offset), layout.offset(phys)) == (phys, offset)


def test_a_small_machine_has_no_hole() -> None:
    assert Layout(2 * GIB + GIB // 2).phys(2 * GIB) == 2 * GIB


@pytest.mark.parametrize("phys", [2 * GIB, 5 * GIB, -1])
def test_where_no_memory_is_nothing_is_read(phys: int) -> None:
    with pytest.raises(OSError, match="no memory"):
        Layout(3 * GIB).offset(phys)


def test_a_read_over_the_end_is_none(ram: Ram, proc: Path) -> None:
    ram()
    with memory_view("lab-1", Layout(SIZE), proc) as view:
        assert view is not None
        with pytest.raises(OSError, match="no memory"):
            view.read(SIZE - 4, 8)


@pytest.mark.parametrize("name", ["lab-11", "lab"])
def test_another_machine_is_not_taken(ram: Ram, proc: Path, name: str) -> None:
    ram()
    with memory_view(name, Layout(SIZE), proc) as view:
        assert view is None


def test_two_mappings_of_that_size_are_none(ram: Ram, proc: Path) -> None:
    """Which of them is the RAM, nobody can tell."""
    ram(), ram()
    with memory_view("lab-1", Layout(SIZE), proc) as view:
        assert view is None


def test_a_qemu_that_may_not_be_read_is_none(ram: Ram, proc: Path) -> None:
    ram()
    (proc / "4242" / "mem").unlink()
    with memory_view("lab-1", Layout(SIZE), proc) as view:
        assert view is None
