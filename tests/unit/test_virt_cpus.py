# SPDX-License-Identifier: Apache-2.0
"""CPUs as QEMU 10.0.2 writes them when it migrates; a live QEMU is asked in tier vm."""

from __future__ import annotations

import struct

import pytest

from lab.errors import InfraError
from lab.virt.cpus import Cpu, cpus_in

IN_GUEST = 1 << 21
HEAD = b"QEVM\x00\x00\x00\x03"


def section(name: bytes, index: int, version: int, fields: bytes) -> bytes:
    head = struct.pack(">BIB", 4, 9, len(name)) + name + struct.pack(">II", index, version)
    return head + fields + struct.pack(">BI", 0x7E, 9)


def cpu(index: int, *, hflags: int = 0, nested: tuple[int, int] | None = None) -> bytes:
    fields = struct.pack(">16QQQI", *range(16), 0xFFFFFFFF81000000, 0x246, hflags) + bytes(500)
    if nested:
        fields += b"\x05\x0bcpu/svn_npt" + struct.pack(">IQI", 1, *nested)
    common = section(b"cpu_common", index, 1, bytes(8))
    return common + section(b"cpu", index, 12, fields)


def test_each_cpu_is_found_with_its_mode_and_its_nested_table() -> None:
    saved = HEAD + cpu(0, hflags=IN_GUEST, nested=(0x7F000000, 0x17)) + cpu(1)
    assert cpus_in(saved) == (Cpu(0, True, 0x7F000000, 5), Cpu(1, False))


def test_a_nested_table_of_one_cpu_is_not_anothers() -> None:
    saved = HEAD + cpu(0) + cpu(1, hflags=IN_GUEST, nested=(0x1000, 0x7 | 1 << 12))
    assert cpus_in(saved) == (Cpu(0, False), Cpu(1, True, 0x1000, 4))


@pytest.mark.parametrize(
    ("saved", "said"),
    [
        (HEAD, "have no CPUs in a known format"),
        (HEAD + cpu(1), "have no CPUs in a known format"),
        (HEAD + section(b"cpu", 0, 13, bytes(700)), "have no CPUs in a known format"),
        (HEAD + section(b"cpu", 0, 12, bytes(700)), "CPU 0 in an unknown format"),
    ],
)
def test_what_another_qemu_writes_is_not_guessed_at(saved: bytes, said: str) -> None:
    with pytest.raises(InfraError, match=said):
        cpus_in(saved)
