# SPDX-License-Identifier: Apache-2.0
"""The pages that L2's beacons write: a second reader trusts them, and tells each mutant."""

from __future__ import annotations

import re
import struct

import pytest

from lab.observe.beacon import More, Page, encode, parse
from tests.support.l2_make import make

RECORDS = 192
MASK = (1 << 64) - 1
PAGE = re.compile(
    r"^case=(?P<case>\S+) vcpu=(?P<vcpu>\d+) beats=\d+ page=(?P<page>[0-9a-f]{8192})$"
)


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return make(tmp_path_factory.mktemp("host"), "host-tests").splitlines()


def siphash24(key: bytes, message: bytes) -> int:
    """Compute it anew: a shared implementation would share its mistakes."""
    k0, k1 = u64(key, 0), u64(key, 8)
    a: int = k0 ^ 0x736F6D6570736575
    b: int = k1 ^ 0x646F72616E646F6D
    c: int = k0 ^ 0x6C7967656E657261
    d: int = k1 ^ 0x7465646279746573

    def rounds(count: int) -> None:
        nonlocal a, b, c, d
        for _ in range(count):
            a = (a + b) & MASK
            b = rotated(b, 13) ^ a
            a = rotated(a, 32)
            c = (c + d) & MASK
            d = rotated(d, 16) ^ c
            a = (a + d) & MASK
            d = rotated(d, 21) ^ a
            c = (c + b) & MASK
            b = rotated(b, 17) ^ c
            c = rotated(c, 32)

    padded = message + bytes(-(len(message) + 1) % 8) + bytes([len(message) & 0xFF])
    words: tuple[int, ...] = struct.unpack(f"<{len(padded) // 8}Q", padded)
    for word in words:
        d ^= word
        rounds(2)
        a ^= word
    c ^= 0xFF
    rounds(4)
    return a ^ b ^ c ^ d


def rotated(value: int, by: int) -> int:
    return (value << by | value >> (64 - by)) & MASK


def secret(dump: list[str], name: str) -> bytes:
    return bytes.fromhex(next(line for line in dump if line.startswith(f"{name}=")).split("=")[1])


def page(dump: list[str], case: str) -> bytes:
    found = (PAGE.match(line) for line in dump)
    return next(bytes.fromhex(m["page"]) for m in found if m and m["case"] == case)


def u64(page: bytes, at: int) -> int:
    (value,) = struct.unpack_from("<Q", page, at)
    assert isinstance(value, int)
    return value


def records(page: bytes) -> dict[int, tuple[int, int]]:
    rows = (struct.unpack_from("<QQI", page, 0x100 + 20 * i) for i in range(RECORDS))
    return {seq: (ns, chain) for ns, chain, seq in rows if seq}


def broken_links(page: bytes, key: bytes) -> list[int]:
    beats = records(page)
    return [
        seq
        for seq, (ns, chain) in sorted(beats.items())
        if seq - 1 in beats
        and chain != siphash24(key, struct.pack("<QQQ", beats[seq - 1][1], seq, ns))
    ]


CASES = (
    *("empty", "five", "wrapped", "more", "freeze", "rewind", "restart", "canary", "chain"),
    *("bit", "page", "ram", "no-ram"),
)


@pytest.mark.parametrize("case", CASES)
def test_even_a_mutants_page_is_signed(dump: list[str], case: str) -> None:
    key, it = secret(dump, "key"), page(dump, case)
    assert it[:12] == b"CTLBEACN\2\0\0\0"
    assert u64(it, 0x40) == siphash24(key, it[:0x40])
    assert u64(it, 0xB8) == siphash24(key, it[0x80:0xB8] + bytes(8) + it[0xC0:0xE0])


@pytest.mark.parametrize("case", CASES)
def test_the_lab_reads_and_writes_the_page_as_the_guest_does(dump: list[str], case: str) -> None:
    key, it = secret(dump, "key"), page(dump, case)
    found = parse(it, key)
    assert isinstance(found, Page)
    assert encode(found, key) == it
    assert {at: len(part) for at, part in parts_of(found)} == layout(dump)
    for at, part in parts_of(found):
        assert it[at : at + len(part)] == part, hex(at)


def layout(dump: list[str]) -> dict[int, int]:
    """Return offset and size of each field of version 2, as the C compiler has them."""
    words = next(line for line in dump if line.startswith("layout ")).split()[1:]
    return {int(at, 16): int(size) for at, size in (word.split(":") for word in words)}


def parts_of(found: Page) -> list[tuple[int, bytes]]:
    """Return the bytes of each field of version 2 as the lab understood it, and where they go."""
    more = found.more
    assert more is not None
    verified = MASK if more.ram_verified is None else more.ram_verified
    numbers = (verified, more.ram_mismatches, more.acknowledged, more.acknowledged_link)
    whole = [struct.pack("<Q", number) for number in numbers] + [more.challenge, more.answer]
    return list(zip((0xC0, 0xC8, 0xD0, 0xD8, 0xE0, 0xF0), whole, strict=True))


def test_each_field_of_version_2_is_told_from_the_others(dump: list[str]) -> None:
    found = parse(page(dump, "more"), secret(dump, "key"))
    assert isinstance(found, Page)
    assert found.more == More(
        *(11, 22, 33, 44), challenge=bytes(range(16)), answer=bytes(range(16, 32))
    )


@pytest.mark.parametrize(
    ("case", "mismatches"), [("five", 0), ("bit", 1), ("page", 1), ("ram", 8), ("other-vcpu", 0)]
)
def test_a_mutant_of_ram_is_counted_by_the_guest(
    dump: list[str], case: str, mismatches: int
) -> None:
    found = parse(page(dump, case), secret(dump, "key"))
    assert isinstance(found, Page)
    assert found.more is not None
    assert found.more.ram_mismatches == mismatches
    beats = 4 if case == "five" else 149  # the first burst fills, each later one verifies a page
    assert found.more.ram_verified == beats - 1 - mismatches


def test_a_guest_that_verifies_no_ram_says_so(dump: list[str]) -> None:
    found = parse(page(dump, "no-ram"), secret(dump, "key"))
    assert isinstance(found, Page)
    assert found.more == More(ram_verified=None)


def test_a_page_without_beats_holds_the_first_link(dump: list[str]) -> None:
    key, it = secret(dump, "key"), page(dump, "empty")
    assert u64(it, 0x80) == u64(it, 0x88) == 0
    assert u64(it, 0x90) == siphash24(key, secret(dump, "boot") + bytes(8))


def test_the_chain_starts_from_boot_id_and_vcpu(dump: list[str]) -> None:
    key, it = secret(dump, "key"), page(dump, "five")
    first = siphash24(key, secret(dump, "boot") + struct.pack("<Q", 1))
    ns, chain = records(it)[1]
    assert chain == siphash24(key, struct.pack("<QQQ", first, 1, ns))
    assert not broken_links(it, key)


def test_ring_keeps_the_last_192_beats_and_the_longest_gap(dump: list[str]) -> None:
    it = page(dump, "wrapped")
    assert sorted(records(it)) == list(range(500 - RECORDS + 1, 501))
    assert records(it)[500] == (u64(it, 0x88), u64(it, 0x90))
    assert u64(it, 0x98) == 5_000_000
    assert not broken_links(it, secret(dump, "key"))


def test_a_freeze_leaves_a_gap_and_no_broken_link(dump: list[str]) -> None:
    it = page(dump, "freeze")
    assert u64(it, 0x98) > 39_000_000
    assert not broken_links(it, secret(dump, "key"))


def test_a_rewind_counts_again_from_an_earlier_beat(dump: list[str]) -> None:
    assert u64(page(dump, "rewind"), 0x80) < 120
    assert u64(page(dump, "other-vcpu"), 0x80) == 150


def test_a_restart_has_another_boot_id_and_counts_from_one(dump: list[str]) -> None:
    it = page(dump, "restart")
    assert it[0x20:0x30] != secret(dump, "boot")
    assert it[0x10:0x20] == secret(dump, "canary")
    assert 0 < u64(it, 0x80) < 60


def test_the_canary_mutant_changes_the_canary_and_nothing_else(dump: list[str]) -> None:
    it, whole = page(dump, "canary"), page(dump, "other-vcpu")
    assert it[0x10:0x20] != secret(dump, "canary")
    assert it[0x48:] == whole[0x48:]


def test_the_chain_mutant_breaks_one_link(dump: list[str]) -> None:
    assert len(broken_links(page(dump, "chain"), secret(dump, "key"))) == 1
    assert not broken_links(page(dump, "other-vcpu"), secret(dump, "key"))
