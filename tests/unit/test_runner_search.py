# SPDX-License-Identifier: Apache-2.0
"""All of a host's memory is searched: in QEMU where that agrees with libvirt, else by peeks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from lab.config.model import Arch
from lab.errors import InfraError
from lab.runner import search as searching
from lab.runner.search import search
from lab.testing.simulated_guest import CANARY, KEY, FakeGuest

ELSEWHERE = 0x80_0000
PIECE = 2 << 20


@dataclass
class View:
    """The host's memory, as QEMU shows it; `off` by so much if it is another mapping."""

    guest: FakeGuest
    off: int = 0

    def read(self, phys: int, size: int) -> bytes:
        """Read it."""
        return self.guest.read(phys + self.off & ~4095, 4096)[:size]

    def pieces(self) -> Iterator[tuple[int, bytes]]:
        """Read all of it."""
        for phys in range(0, 16 << 20, PIECE):
            yield phys, self.guest.read(phys, PIECE)


def searched(
    monkeypatch: pytest.MonkeyPatch,
    guest: FakeGuest,
    view: View | None,
    *,
    slowly: bool = False,
    refuses: range = range(0),
) -> Any:
    """Search the memory of a host of 16 MiB."""

    def peek(phys: int, size: int) -> bytes:
        if phys in refuses:
            raise InfraError("not now")
        return b"".join(guest.read(at, 4096) for at in range(phys, phys + size, 4096))[:size]

    @contextmanager
    def opened(*_: object) -> Iterator[View | None]:
        yield view

    monkeypatch.setattr(searching, "memory_view", opened)
    monkeypatch.setattr(searching, "pause", guest.advance)
    domain = SimpleNamespace(name="a", peek=peek)
    request = SimpleNamespace(memory_mib=16, arch=Arch.X86_64)
    host = SimpleNamespace(domain=domain, blueprint=SimpleNamespace(request=request))
    running: Any = SimpleNamespace(host=host, plan=SimpleNamespace(key=KEY, canary=CANARY))
    return search(running, tuple(guest.pages.values()), slowly=slowly)


def test_a_guest_that_is_where_it_was_watched_is_found_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    guest = FakeGuest(2)
    found = searched(monkeypatch, guest, View(guest))
    assert found.how == "qemu"
    assert [one.phys for one in found.found] == [0x10_0000, 0x10_1000]
    assert found.elsewhere(0) == found.elsewhere(1) == ()


@pytest.mark.parametrize("how", ["qemu", "peek"])
def test_a_second_copy_is_told_from_a_stale_one(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    guest = FakeGuest()
    guest.memory[ELSEWHERE] = bytearray(guest.memory[guest.pages[0]])
    view = View(guest) if how == "qemu" else None
    stale = searched(monkeypatch, guest, view, slowly=True)
    assert (stale.how, len(stale.found), stale.elsewhere(0)) == (how, 2, ())
    guest.copies[0] = ELSEWHERE
    live = searched(monkeypatch, guest, view, slowly=True)
    assert live.elsewhere(0) == (ELSEWHERE,)
    assert live.live(0) == (guest.pages[0], ELSEWHERE)


def test_a_mapping_that_is_not_the_hosts_memory_is_not_searched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    guest = FakeGuest()
    assert searched(monkeypatch, guest, View(guest, off=4096)) is None
    assert searched(monkeypatch, guest, View(guest, off=4096), slowly=True).how == "peek"


def test_a_qemu_that_ends_is_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ending(View):
        def pieces(self) -> Iterator[tuple[int, bytes]]:
            yield 0, bytes(PIECE)
            raise OSError("it ended")

    guest = FakeGuest()
    assert searched(monkeypatch, guest, Ending(guest)) is None
    assert searched(monkeypatch, guest, Ending(guest), slowly=True).how == "peek"


def test_where_a_search_is_slow_it_is_made_only_if_it_is_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    guest = FakeGuest()
    assert searched(monkeypatch, guest, None) is None
    found = searched(monkeypatch, guest, None, slowly=True)
    assert (found.how, found.whole, found.took_s >= 0) == ("peek", True, True)


def test_a_hole_in_what_could_be_read_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    guest = FakeGuest()
    found = searched(monkeypatch, guest, None, slowly=True, refuses=range(4 << 20, 5 << 20))
    assert not found.whole
