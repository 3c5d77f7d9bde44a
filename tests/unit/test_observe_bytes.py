# SPDX-License-Identifier: Apache-2.0
"""Hash, chain and page: known vectors, and each way in which bytes are not to be believed."""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.errors import LabError
from lab.observe.beacon import PAGE, READABLE, RECORDS, Foreign, Page, Torn, encode, parse
from lab.observe.chain import broken_at, links, origin, siphash24
from lab.testing.simulated_guest import BOOT, CANARY, KEY, FakeGuest

GOLDEN = Path(__file__).parents[1] / "golden" / "beacon-page-v1.txt"
# From the reference implementation's vectors: key 00..0f, message 00..(n-1).
VECTORS = {
    0: 0x726FDB47DD0E0E31,
    1: 0x74F839C593DC67FD,
    7: 0xAB0200F58B01D137,
    8: 0x93F5F5799A932462,
    15: 0xA129CA6149BE45E5,
    63: 0x958A324CEB064572,
}


@pytest.mark.parametrize(("size", "digest"), VECTORS.items())
def test_siphash_gives_the_reference_vectors(size: int, digest: int) -> None:
    assert siphash24(KEY, bytes(range(size))) == digest


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(LabError, match="16 bytes, and 15 came"):
        siphash24(bytes(15), b"")


@pytest.mark.parametrize("lanes", [0, 1, 2, 7, RECORDS])
def test_links_side_by_side_are_the_links_one_by_one(lanes: int) -> None:
    dice = random.Random(lanes)  # noqa: S311 - not a secret
    edges = [0, 1, (1 << 64) - 1, 1 << 63]
    words = [[*edges, *(dice.getrandbits(64) for _ in range(lanes))][:lanes] for _ in range(3)]
    alone = tuple(siphash24(KEY, struct.pack("<QQQ", *link)) for link in zip(*words, strict=True))
    assert links(KEY, *words) == alone


def chain_of(stamps: list[int]) -> list[int]:
    chain, chains = origin(KEY, BOOT, 0), []
    for seq, stamp in enumerate(stamps, 1):
        chain = siphash24(KEY, struct.pack("<QQQ", chain, seq, stamp))
        chains.append(chain)
    return chains


@pytest.mark.parametrize("wrong", ["nothing", "stamp", "chain", "anchor", "number", "left-out"])
def test_a_chain_breaks_where_it_was_changed(wrong: str) -> None:
    stamps = [1000 * n for n in range(20)]
    chains, anchor, first, found = chain_of(stamps), origin(KEY, BOOT, 0), 1, None
    match wrong:
        case "stamp":
            stamps[6], found = 1, 7
        case "chain":
            chains[6], found = chains[6] ^ 1, 7
        case "anchor":
            anchor, found = anchor ^ 1, 1
        case "number":
            first, found = 2, 2
        case "left-out":
            del stamps[6], chains[6]
            found = 7
        case _:
            pass
    assert broken_at(KEY, anchor, first, stamps, chains) == found


def test_four_vcpus_at_1000_beats_a_second_cost_little_cpu() -> None:
    stamps = [1000 * n for n in range(25)]
    chains, anchor = chain_of(stamps), origin(KEY, BOOT, 0)
    began = time.process_time()
    for _ in range(160):
        broken_at(KEY, anchor, 1, stamps, chains)
    assert time.process_time() - began < 0.2


def beaten(beats: int) -> tuple[FakeGuest, bytes]:
    guest = FakeGuest()
    for n in range(beats):
        guest.beat(0, guest.guest_ns + n * 10_000_000)
    guest.publish(0)
    return guest, bytes(guest.memory[guest.pages[0]])


def changed(at: int, to: bytes) -> Callable[[bytes], bytes]:
    return lambda page: page[:at] + to + page[at + len(to) :]


@pytest.mark.parametrize("beats", [0, 1, 5, RECORDS, RECORDS + 1, 1000])
def test_a_page_is_read_as_it_was_written(beats: int) -> None:
    guest, written = beaten(beats)
    page = parse(written, KEY)
    assert isinstance(page, Page)
    assert (page.seq, page.canary, page.boot_id, page.nvcpus) == (beats, CANARY, BOOT, 1)
    assert encode(page, KEY) == written
    assert page.chain == guest.vcpus[0].page.chain
    if beats:
        records = page.records(max(1, beats - READABLE + 1), beats)
        assert records is not None
        assert (records[0][-1], records[1][-1]) == (page.guest_ns, page.chain)


@pytest.mark.parametrize(
    ("first", "last"), [(0, 1), (5, 4), (1, 300), (200, 301), (108, 300), (-3, 2)]
)
def test_records_that_are_not_in_the_ring_are_not_made_up(first: int, last: int) -> None:
    _, written = beaten(300)
    page = parse(written, KEY)
    assert isinstance(page, Page)
    assert page.records(first, last) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(lambda p: p[:-1], "4095 bytes came", id="short"),
        pytest.param(lambda _: b"", "0 bytes came", id="nothing"),
        pytest.param(lambda _: bytes(PAGE), "there is no beacon", id="zeros"),
        pytest.param(changed(0, b"X"), "there is no beacon", id="magic"),
        pytest.param(
            changed(8, b"\3"), "of version 3, and this lab reads versions 1 and 2", id="3"
        ),
        pytest.param(changed(8, b"\0"), "of version 0", id="version"),
        pytest.param(changed(8, b"\1"), "not signed", id="made-older"),
        pytest.param(changed(0xC, b"\1"), "not signed", id="vcpu"),
        pytest.param(changed(0x10, b"\0"), "not signed", id="canary"),
        pytest.param(changed(0x20, b"\0"), "not signed", id="boot-id"),
        pytest.param(changed(0x34, b"\1"), "not signed", id="records"),
        pytest.param(changed(0x40, b"12345678"), "not signed", id="sum"),
        pytest.param(changed(0x7F, b"\1"), "where zeros belong", id="not-zero"),
    ],
)
def test_a_page_that_is_not_ours_says_why(change: Callable[[bytes], bytes], reason: str) -> None:
    found = parse(change(beaten(5)[1]), KEY)
    assert isinstance(found, Foreign)
    assert reason in found.reason


def test_another_key_makes_a_page_foreign() -> None:
    assert isinstance(parse(beaten(5)[1], bytes(16)), Foreign)


def test_a_page_of_version_1_is_read_and_written_byte_for_byte() -> None:
    rows = [line.split() for line in GOLDEN.read_text().splitlines() if not line.startswith("#")]
    written = bytearray(PAGE)
    for at, content in rows:
        written[int(at, 16) : int(at, 16) + 16] = bytes.fromhex(content)
    key = bytes.fromhex("f0e1d2c3b4a5968778695a4b3c2d1e0f")
    page = parse(bytes(written), key)
    assert isinstance(page, Page)
    assert (page.vcpu, page.seq, page.more) == (1, 5, None)
    assert encode(page, key) == written
    written[0xC0:0x100] = bytes(range(64))  # of no meaning there, and signed by nobody
    assert parse(bytes(written), key) == page


@pytest.mark.parametrize("at", range(0xC0, 0x100))
def test_all_that_a_beat_writes_of_version_2_is_signed(at: int) -> None:
    written = beaten(5)[1]
    found = parse(changed(at, bytes([written[at] ^ 0x10]))(written), KEY)
    if at < 0xE0:
        assert isinstance(found, Torn)
    else:  # the challenge is written by another, at any time
        assert isinstance(found, Page)
        assert found.more is not None
        assert any(found.more.challenge + found.more.answer)


@pytest.mark.parametrize("at", range(0x80, 0xC0))
def test_a_changed_byte_in_the_numbers_tears_the_page(at: int) -> None:
    written = beaten(5)[1]
    assert isinstance(parse(changed(at, bytes([written[at] ^ 0x10]))(written), KEY), Torn)


def test_one_record_less_than_the_ring_has_can_be_relied_on() -> None:
    assert (RECORDS, READABLE) == (192, 191)  # guest-images/l2/beacon.h has the same ring
