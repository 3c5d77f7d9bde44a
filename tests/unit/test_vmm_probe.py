# SPDX-License-Identifier: Apache-2.0
"""Reading a guest's page says what came of it: bytes, an error, or the signal that it died of."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import sys
from pathlib import Path

import pytest

from lab.vmm.commands import probe_read
from lab.vmm.machine import memory

MIB = 1 << 20
CANARY = bytes(range(16))
NOWHERE = probe_read.Page(os.getpid(), 0x1000, 0x1000)


@pytest.fixture
def ram() -> memory.Ram:
    made = memory.memfd(MIB)
    made.pages[0x3010:0x3020] = CANARY
    return made


@pytest.mark.parametrize("way", probe_read.WAYS)
def test_memory_that_nobody_protects_is_read_in_each_way(ram: memory.Ram, way: str) -> None:
    page = probe_read.Page(os.getpid(), ram.address + 0x3000, ram.address + 0x3000)
    answer = probe_read.in_a_child(probe_read.WAYS[way], page)
    assert answer.content == ram.pages[0x3000:0x4000]
    as_json = probe_read.as_json(answer, CANARY)
    assert (as_json["errno"], as_json["signal"], as_json["bytes"]) == (None, None, 4096)
    assert (as_json["canary"], as_json["zero"]) == (True, False)


@pytest.mark.parametrize(
    ("way", "errno", "died"),
    [
        ("load", None, "SIGSEGV"),
        ("write", "EFAULT", None),
        ("process_vm_readv", "EFAULT", None),
        ("proc-mem", "EIO", None),
    ],
)
def test_memory_that_is_not_there_is_told_by_error_or_signal(
    way: str, errno: str | None, died: str | None
) -> None:
    answer = probe_read.in_a_child(probe_read.WAYS[way], NOWHERE)
    assert answer == (b"", errno, died)
    assert probe_read.as_json(answer, CANARY)["canary"] is False


def test_a_page_of_zeros_is_called_so_and_holds_no_canary(ram: memory.Ram) -> None:
    page = probe_read.Page(os.getpid(), ram.address, ram.address)
    as_json = probe_read.as_json(probe_read.in_a_child(probe_read.by_load, page), CANARY)
    assert (as_json["zero"], as_json["canary"]) == (True, False)


def test_a_way_that_breaks_is_not_taken_for_a_refusal() -> None:
    def broken(_: probe_read.Page) -> bytes:
        raise ValueError("a bug")

    assert probe_read.in_a_child(broken, NOWHERE).errno == "EPROTO"


@pytest.mark.skipif(sys.maxsize < 1 << 40, reason="needs a 64-bit Python")
def test_a_page_that_may_not_be_read_kills_only_the_child() -> None:
    page = mmap.mmap(-1, 4096)
    at = ctypes.addressof(ctypes.c_char.from_buffer(page))
    libc = ctypes.CDLL(None)
    assert libc.mprotect(ctypes.c_void_p(at), ctypes.c_size_t(4096), 0) == 0
    answer = probe_read.in_a_child(probe_read.by_load, probe_read.Page(os.getpid(), at, at))
    assert answer.signal == signal.SIGSEGV.name
    assert Path(f"/proc/{os.getpid()}").exists()
