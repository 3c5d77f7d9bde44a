# SPDX-License-Identifier: Apache-2.0
"""A guest is found by its page, however memory is cut; it beats if its page was seen to change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from lab.errors import InfraError
from lab.observe.beacon import MAGIC, PAGE
from lab.observe.proof import Method, Proof, unseen
from lab.observe.scan import beacons_in, scan
from lab.observe.search import Search, Sighting, sighted
from lab.testing.simulated_guest import CANARY, KEY, FakeGuest

AT = 0x10_0000


def page_of(canary: bytes = CANARY, magic: bytes = MAGIC) -> bytes:
    return (magic.ljust(0x10, b"\0") + canary).ljust(PAGE, b"\0")


def test_each_page_of_a_piece_is_looked_at() -> None:
    other = bytes(PAGE)
    assert list(beacons_in(page_of() + other + page_of() + page_of(), CANARY)) == [
        0,
        2 * PAGE,
        3 * PAGE,
    ]


@pytest.mark.parametrize(
    "page", [page_of(bytes(16)), page_of(magic=b"C" + bytes(7)), page_of(magic=b"X" + MAGIC[1:])]
)
def test_what_is_like_a_beacon_is_none(page: bytes) -> None:
    assert list(beacons_in(page, CANARY)) == []


@pytest.mark.parametrize("chunk", [PAGE, 2 * PAGE, 8 * PAGE])
def test_all_memory_is_read_once_and_nothing_behind_it(chunk: int) -> None:
    memory = bytes(PAGE) + page_of() + bytes(PAGE) + page_of() + page_of()
    asked: list[tuple[int, int]] = []

    def read(phys: int, size: int) -> bytes:
        asked.append((phys, size))
        return memory[phys : phys + size]

    assert scan(read, len(memory), CANARY, chunk=chunk) == (PAGE, 3 * PAGE, 4 * PAGE)
    assert sum(size for _, size in asked) == len(memory)
    assert all(phys + size <= len(memory) for phys, size in asked)


@pytest.mark.parametrize("error", [InfraError("gone"), OSError("a hole")])
def test_what_cannot_be_read_is_passed_over(error: Exception) -> None:
    def read(phys: int, size: int) -> bytes:
        if phys == PAGE:
            raise error
        return page_of()[:size]

    assert scan(read, 3 * PAGE, CANARY, chunk=PAGE) == (0, 2 * PAGE)


FOUND = Search(
    (
        Sighting(0, 0x1000, 5, beats=True),
        Sighting(0, 0x2000, 5, beats=False),
        Sighting(1, 0x3000, 5, beats=True),
        Sighting(0, 0x4000, 5, beats=True),
    ),
    (0x1000,),
)


def test_a_vcpu_is_live_where_its_own_pages_beat() -> None:
    assert (FOUND.live(0), FOUND.live(1), FOUND.live(2)) == ((0x1000, 0x4000), (0x3000,), ())
    assert (FOUND.elsewhere(0), FOUND.elsewhere(1)) == ((0x4000,), (0x3000,))


def test_a_search_is_of_all_memory_and_by_peeks_if_nothing_else_is_said() -> None:
    assert (FOUND.whole, FOUND.took_s, FOUND.how) == (True, 0.0, "peek")


def seen(
    guest: FakeGuest, meanwhile: Callable[[], None], watched: tuple[int, ...] = ()
) -> tuple[Sighting, ...]:
    return sighted(guest.read, guest.pages.values(), KEY, meanwhile, watched)


def test_a_page_beats_if_it_changed_between_two_looks() -> None:
    guest = FakeGuest(2)
    guest.advance(1.0)
    was = guest.vcpus[0].page.seq

    def wait() -> None:
        guest.freeze(1)
        guest.advance(1.0)

    one, two = seen(guest, wait)
    assert (one.vcpu, one.phys, one.beats) == (0, guest.pages[0], True)
    assert one.seq > was
    assert (two.vcpu, two.phys, two.seq, two.beats) == (1, guest.pages[1], was, False)


@pytest.mark.parametrize("change", ["boot", "vcpu"])
def test_a_page_that_became_another_guests_changed(change: str) -> None:
    guest = FakeGuest(1)
    guest.advance(1.0)

    def wait() -> None:
        mine = guest.vcpus[0]
        what = {"boot_id": bytes(16)} if change == "boot" else {"vcpu": 1}
        mine.page = replace(mine.page, **what)
        guest.publish(0)

    (one,) = seen(guest, wait)
    assert one.beats


def test_nobody_waits_for_pages_that_are_watched_already() -> None:
    guest = FakeGuest(2)
    guest.advance(1.0)
    waits: list[None] = []
    pages = tuple(guest.pages.values())
    for watched, times in ((pages, 0), (pages[:1], 1), ((), 1), ((*pages, 0x9000), 0)):
        waits.clear()
        assert len(seen(guest, lambda: waits.append(None), watched)) == 2
        assert len(waits) == times


@pytest.mark.parametrize("first", [True, False])
def test_a_page_that_is_the_guests_only_once_does_not_beat(first: bool) -> None:
    guest = FakeGuest(1)
    guest.advance(1.0)
    kept = bytes(guest.memory[AT])

    def put(there: bool) -> None:
        guest.memory[AT] = bytearray(kept if there else PAGE)

    put(first)
    (one,) = seen(guest, lambda: put(not first))
    assert (one.phys, one.seq, one.beats) == (AT, guest.vcpus[0].page.seq, False)


def test_what_is_not_the_guests_is_left_out() -> None:
    guest = FakeGuest(1)
    guest.memory[2 * AT] = bytearray(PAGE)
    assert sighted(guest.read, [2 * AT], KEY, lambda: None) == ()


@pytest.mark.parametrize(("torn", "there"), [(9, True), (10, False)])
def test_a_page_in_mid_beat_is_read_ten_times(torn: int, there: bool) -> None:
    guest = FakeGuest(1)
    guest.advance(1.0)
    whole = bytes(guest.memory[AT])
    half = whole[:0x80] + bytes(8) + whole[0x88:]
    readings = [*[half] * torn, *[whole] * (20 - torn)] if there else [half] * 20
    assert bool(sighted(lambda *_: readings.pop(0), [AT], KEY, lambda: None)) is there
    assert len(readings) == (20 - torn - 2 if there else 0)


def test_a_page_that_cannot_be_read_is_no_sighting() -> None:
    def read(*_: int) -> bytes:
        raise OSError("a hole")

    def gone(*_: int) -> bytes:
        raise InfraError("gone")

    assert sighted(read, [AT], KEY, lambda: None) == ()
    assert sighted(gone, [AT], KEY, lambda: None) == ()


@pytest.mark.parametrize(
    ("method", "said", "right"),
    [
        (Method.SVM_STATE, "", True),
        (Method.NONE, "", None),
        (Method.SVM_STATE, "x", None),
        (Method.NONE, "x", True),
        (Method.NONE, "x", False),
    ],
)
def test_a_proof_claims_no_more_than_its_method_can(
    method: Method, said: str, right: bool | None
) -> None:
    with pytest.raises(ValueError, match=f"no proof by method '{method.value}'"):
        Proof(method, said, right)


def test_only_what_is_seen_to_be_wrong_is_a_fault() -> None:
    assert Proof(Method.SVM_STATE, "x", right=False).fault == "x"
    assert Proof(Method.SVM_STATE, "x", right=True).fault == ""
    assert unseen("x") == Proof(Method.NONE, "x", None)
    assert unseen("x").fault == ""
