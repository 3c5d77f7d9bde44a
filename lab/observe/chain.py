# SPDX-License-Identifier: Apache-2.0
"""The only place that hashes: SipHash-2-4, one message at a time or many links of a chain at once.

Each record of a beacon carries its own link, so the links of one look can be computed side by
side: as lanes of one long integer, 128 bits each, of which the upper half takes the carries.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache

from lab.errors import LabError

_LOW = (1 << 64) - 1
_KEY_BYTES = 16
_LANE = 128
_INIT = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)
_LINK_LENGTH = 24 << 56

State = tuple[int, int, int, int]


@lru_cache(maxsize=64)
def _start(key: bytes) -> State:
    if len(key) != _KEY_BYTES:
        raise LabError(f"a beacon's key has 16 bytes, and {len(key)} came")
    low, high = struct.unpack("<QQ", key)
    return _INIT[0] ^ low, _INIT[1] ^ high, _INIT[2] ^ low, _INIT[3] ^ high


def _rounds(v: State, mask: int, count: int) -> State:
    v0, v1, v2, v3 = v
    for _ in range(count):
        v0 = (v0 + v1) & mask
        v1 = ((v1 << 13) | (v1 >> 51)) & mask ^ v0
        v2 = (v2 + v3) & mask
        v3 = ((v3 << 16) | (v3 >> 48)) & mask ^ v2
        v0 = (((v0 << 32) | (v0 >> 32)) & mask) + v3 & mask
        v3 = ((v3 << 21) | (v3 >> 43)) & mask ^ v0
        v2 = (v2 + v1) & mask
        v1 = ((v1 << 17) | (v1 >> 47)) & mask ^ v2
        v2 = ((v2 << 32) | (v2 >> 32)) & mask
    return v0, v1, v2, v3


def _digest(v: State, words: Sequence[int], mask: int, ones: int) -> int:
    for word in words:
        v0, v1, v2, v3 = _rounds((v[0], v[1], v[2], v[3] ^ word), mask, 2)
        v = (v0 ^ word, v1, v2, v3)
    v = _rounds((v[0], v[1], v[2] ^ 0xFF * ones, v[3]), mask, 4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def siphash24(key: bytes, message: bytes) -> int:
    """Return the SipHash-2-4 of a message.

    Args:
        key: 16 bytes.
        message: Any number of bytes.

    Returns:
        64 bits.

    Raises:
        LabError: The key has another length.

    Source: Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012.
    """
    tail = len(message) % 8
    padded = message + bytes(7 - tail) + bytes([len(message) & 0xFF])
    return _digest(_start(key), struct.unpack(f"<{len(padded) // 8}Q", padded), _LOW, 1)


def origin(key: bytes, boot_id: bytes, vcpu: int) -> int:
    """Return link 0 of a vCPU: what the first beat of its boot is linked to.

    Args:
        key: The guest's key, 16 bytes.
        boot_id: 16 bytes.
        vcpu: Its index.

    Returns:
        64 bits.
    """
    return siphash24(key, boot_id + struct.pack("<Q", vcpu))


@lru_cache(maxsize=256)
def _ones(lanes: int) -> int:
    return sum(1 << (_LANE * lane) for lane in range(lanes))


def _spread(words: Sequence[int]) -> int:
    return int.from_bytes(struct.pack("<" + "Q8x" * len(words), *words), "little")


def links(
    key: bytes, chains: Sequence[int], seqs: Sequence[int], stamps: Sequence[int]
) -> tuple[int, ...]:
    """Compute the link of each beat, over the link before it, its number and its guest time.

    Args:
        key: The guest's key, 16 bytes.
        chains: The link before each beat.
        seqs: The numbers of the beats.
        stamps: Their guest times in ns.

    Returns:
        As many links of 64 bits.
    """
    lanes = len(chains)
    if not lanes:
        return ()
    ones = _ones(lanes)
    a, b, c, d = _start(key)
    words = (_spread(chains), _spread(seqs), _spread(stamps), _LINK_LENGTH * ones)
    found = _digest((a * ones, b * ones, c * ones, d * ones), words, _LOW * ones, ones)
    return struct.unpack("<" + "Q8x" * lanes, found.to_bytes(16 * lanes, "little"))


def broken_at(
    key: bytes, anchor: int, first: int, stamps: Sequence[int], chains: Sequence[int]
) -> int | None:
    """Find the first beat that is not linked to the one before it.

    Args:
        key: The guest's key, 16 bytes.
        anchor: The link of the beat before `first`, already believed.
        first: The number of the first of these beats.
        stamps: Their guest times in ns.
        chains: Their links, as recorded.

    Returns:
        The beat's number; None if all are linked.
    """
    before = (anchor, *chains[:-1])
    wanted = links(key, before, range(first, first + len(chains)), stamps)
    for seq, want, got in zip(range(first, first + len(chains)), wanted, chains, strict=True):
        if want != got:
            return seq
    return None
