# SPDX-License-Identifier: Apache-2.0
"""Where a guest's pages are: /proc/PID/maps of both VMMs, and pagemap of this very process."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.vmm import cli, procfs
from lab.vmm.commands import digest, keep, locate
from lab.vmm.errors import VmmError
from lab.vmm.machine import control, memory

LABVMM = """\
7fcf8c000000-7fcf94000000 rw-s 00000000 00:01 1031                       /memfd:labvmm-ram (deleted)
7fcf94000000-7fcf94021000 rw-p 00000000 00:00 0
7fcf9c100000-7fcf9c2a0000 r-xp 00028000 fe:00 3163                       /usr/lib/libc.so.6
"""
QEMU = """\
7f0000000000-7f0004000000 rw-s 00000000 00:01 77      /memfd:memory-backend-memfd (deleted)
7f0004000000-7f0008000000 rw-s 04000000 00:01 77      /memfd:memory-backend-memfd (deleted)
7f0009000000-7f0009001000 rw-s 00000000 00:01 78      /memfd:other (deleted)
"""
GMEM = "7f1000000000-7f1001000000 rw-s 00000000 00:0e 9  /[kvm-gmem] (deleted)\n"
LUO = "7f1000000000-7f1001000000 r--s 00000000 00:01 9  / (deleted)\n"


@pytest.fixture
def ram() -> Iterator[memory.Ram]:
    made = memory.memfd(1 << 20)
    yield made
    made.pages.close()
    os.close(made.fd)


def test_a_path_with_blanks_and_no_path_at_all_are_parsed() -> None:
    found = procfs.parse_maps(LABVMM)
    assert [m.name for m in found] == ["/memfd:labvmm-ram (deleted)", "", "/usr/lib/libc.so.6"]
    assert found[0] == procfs.Mapping(
        0x7FCF8C000000, 0x7FCF94000000, 0, 1031, "/memfd:labvmm-ram (deleted)"
    )


@pytest.mark.parametrize(
    ("text", "size", "gpa", "address"),
    [
        pytest.param(LABVMM, 0x8000000, 0x1234000, 0x7FCF8D234000, id="labvmm"),
        pytest.param(QEMU, 0x8000000, 0x4000010, 0x7F0004000010, id="qemu, split in two"),
        pytest.param(LUO, 0x1000000, 0x6000, 0x7F1000006000, id="memfd after a kexec"),
        pytest.param(GMEM, 0x1000000, 0x200000, 0x7F1000200000, id="guest_memfd"),
    ],
)
def test_guest_ram_is_found_by_name_and_size(text: str, size: int, gpa: int, address: int) -> None:
    assert locate.virtual(locate.ram_of(procfs.parse_maps(text), size, 1), gpa) == address


def test_ram_of_another_size_is_not_guest_ram() -> None:
    with pytest.raises(VmmError, match=r"0 mappings of 4096 bytes.*labvmm-ram.*134217728") as e:
        locate.ram_of(procfs.parse_maps(LABVMM), 4096, 1)
    assert "memory-backend-memfd" in (e.value.hint or "")


def test_two_files_of_that_size_are_too_many() -> None:
    twice = LABVMM + LABVMM.replace("1031", "1032")
    with pytest.raises(VmmError, match="2 mappings of 134217728 bytes"):
        locate.ram_of(procfs.parse_maps(twice), 0x8000000, 1)


def test_an_address_beyond_ram_is_refused() -> None:
    found = locate.ram_of(procfs.parse_maps(LABVMM), 0x8000000, 1)
    with pytest.raises(VmmError, match="no RAM at 0x8000000"):
        locate.virtual(found, 0x8000000)


@pytest.mark.skipif(os.geteuid() != 0, reason="pagemap shows frame numbers to root only")
@pytest.mark.parametrize("touched", [True, False])
def test_a_page_has_an_address_whichever_side_touched_it(
    ram: memory.Ram, capsys: pytest.CaptureFixture[str], *, touched: bool
) -> None:
    if touched:
        ram.write(0x3000, b"x", "test")
    line = ["locate", "--pid", str(os.getpid()), "--ram-size", str(ram.size), "0x3010"]
    assert cli.main(line) == 0
    out = capsys.readouterr().out
    assert '"0x3010": "0x' in out
    assert out.rstrip().endswith('010"}}')


def test_both_ways_to_hash_ram_agree(ram: memory.Ram, capsys: pytest.CaptureFixture[str]) -> None:
    ram.write(0x3000, b"x", "test")
    assert cli.main(["digest", "--pid", str(os.getpid()), "--ram-size", str(ram.size)]) == 0
    wanted = hashlib.sha256(ram.pages).hexdigest()
    assert wanted in capsys.readouterr().out
    assert digest.of_fd(ram.fd)["sha256"] == wanted
    assert len(ram.pages) % mmap.PAGESIZE == 0


@pytest.fixture
def kept(ram: memory.Ram, tmp_path: Path) -> Iterator[Path]:
    """Return the socket of a keeper that holds a guest's RAM, whose VMM is gone."""
    holder = keep.Keeper()
    description = {"magic": "x", "protected": False}
    holder.deposit(control.Question(dict(description), {"ram": os.dup(ram.fd)}))
    server = control.Server(tmp_path / "k", {"fetch": holder.fetch})
    yield server.path
    server.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="pagemap shows frame numbers to root only")
def test_keeper_locates_an_orphans_pages_where_they_were(
    ram: memory.Ram, kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ram.pages[0x3000] = 7
    where = ["--pid", str(os.getpid()), "--ram-size", str(ram.size)]
    gpa = hex(memory.base() + 0x3000)
    assert cli.main(["locate", *where, gpa]) == 0
    before = json.loads(capsys.readouterr().out)["phys"]
    by_keeper = [sys.executable, "-m", "lab.vmm", "locate", "--keeper", str(kept), gpa]
    said = subprocess.run(by_keeper, capture_output=True, text=True, check=True)
    assert json.loads(said.stdout)["phys"] == before


def test_an_orphans_digest_is_that_of_its_ram(ram: memory.Ram, kept: Path) -> None:
    ram.pages[5000:5004] = b"beat"
    by_keeper = [sys.executable, "-m", "lab.vmm", "digest", "--keeper", str(kept)]
    said = subprocess.run(by_keeper, capture_output=True, text=True, check=True)
    assert json.loads(said.stdout)["sha256"] == hashlib.sha256(ram.pages).hexdigest()
