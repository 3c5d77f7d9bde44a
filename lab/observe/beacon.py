# SPDX-License-Identifier: Apache-2.0
"""The only place that knows the bytes of a beacon page; `guest-images/l2/beacon.h` is its twin.

Two versions are read. The second one has `More` where the first has zeros that nobody signed.
"""

from __future__ import annotations

import struct
from dataclasses import astuple, dataclass
from functools import lru_cache

from lab.observe.chain import siphash24

MAGIC = b"CTLBEACN"
VERSIONS = (1, 2)
NO_BEACON = "there is no beacon"
PAGE = 4096
RECORDS = 192
# The slot of the beat after the newest may be half written, so one beat fewer can be relied on.
READABLE = RECORDS - 1

_STATIC = struct.Struct("<8sII16s16sIIQ")
_DYNAMIC = struct.Struct("<7Q")
_MORE = struct.Struct("<4Q16s16s")
_SUM = struct.Struct("<Q")
_RECORD = struct.Struct("<QQI")
_STATIC_SUM_AT, _ZERO_AT, _DYNAMIC_AT, _DYNAMIC_SUM_AT, _RECORDS_AT = 0x40, 0x48, 0x80, 0xB8, 0x100
_MORE_AT, _CHALLENGE_AT = 0xC0, 0xE0
_LOW32 = (1 << 32) - 1
_NO_RAM = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class More:
    """What a page of version 2 says besides its beats.

    Attributes:
        ram_verified: How many pages of RAM the vCPU found as it had filled them, since it was
            started; None if it verifies none.
        ram_mismatches: How many it found otherwise.
        acknowledged: The number of the last record that was acknowledged to the guest.
        acknowledged_link: The link of the records' chain that goes with it.
        challenge: 16 bytes, written by whoever asks; no sum covers them, nor the answer.
        answer: 16 bytes of a MAC.
    """

    ram_verified: int | None = None
    ram_mismatches: int = 0
    acknowledged: int = 0
    acknowledged_link: int = 0
    challenge: bytes = bytes(16)
    answer: bytes = bytes(16)


@dataclass(frozen=True, slots=True)
class Page:
    """A beacon page whose sums are right: the guest that it belongs to, and how far that has come.

    Attributes:
        vcpu: The vCPU that writes it.
        canary: 16 bytes of this guest's.
        boot_id: 16 bytes of this boot's.
        nvcpus: How many vCPUs the guest has.
        period_ns: Time from one beat to the next, as intended.
        seq: The number of the newest beat; 0 before the first.
        guest_ns: Its time, by the guest's clock.
        chain: Its link, 64 bits.
        max_gap_ns: The longest step between two beats that the guest itself counted.
        max_gap_at_ns: The guest's time at the beginning of that step.
        faults: How often the guest found its vector registers wrong, or its load's memory.
        irqs: The ticker's timer interrupts, or the TLB shootdowns of a Linux guest under load.
        ring: The records, `RECORDS` of 20 bytes.
        more: What version 2 adds; None for a page of version 1.
    """

    vcpu: int
    canary: bytes
    boot_id: bytes
    nvcpus: int
    period_ns: int
    seq: int
    guest_ns: int
    chain: int
    max_gap_ns: int
    max_gap_at_ns: int
    faults: int
    irqs: int
    ring: bytes
    more: More | None = None

    def records(self, first: int, last: int) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
        """Return the records of a stretch of beats.

        Args:
            first: The number of the first beat, from 1.
            last: The number of the last beat, `seq` at most.

        Returns:
            Guest times in ns and chains, one of each for a beat; None if one of the beats is not in
            the ring: written over, or not the one that its slot should have.
        """
        if not 0 < first <= last <= self.seq or last - first >= RECORDS:
            return None
        stamps: list[int] = []
        chains: list[int] = []
        for seq in range(first, last + 1):
            at = (seq - 1) % RECORDS * _RECORD.size
            guest_ns, chain, low = _RECORD.unpack_from(self.ring, at)
            if low != seq & _LOW32:
                return None
            stamps.append(guest_ns)
            chains.append(chain)
        return tuple(stamps), tuple(chains)


@dataclass(frozen=True, slots=True)
class Owner:
    """The guest that a page belongs to, by its header, which never changes and has its own sum."""

    vcpu: int
    canary: bytes
    boot_id: bytes


@dataclass(frozen=True, slots=True)
class Torn:
    """Our page, read while a beat was being written (or left so by a vCPU that was stopped)."""

    dynamic: bytes
    owner: Owner


@dataclass(frozen=True, slots=True)
class Foreign:
    """Not a beacon page of this key: the path to the guest leads elsewhere."""

    reason: str


Reading = Page | Torn | Foreign


@lru_cache(maxsize=256)
def _static_fault(header: bytes, key: bytes) -> str | None:
    fields = _STATIC.unpack_from(header)
    (total,) = _SUM.unpack_from(header, _STATIC_SUM_AT)
    if fields[0] != MAGIC:
        return NO_BEACON
    if fields[1] not in VERSIONS:
        known = " and ".join(map(str, VERSIONS))
        return f"the beacon is of version {fields[1]}, and this lab reads versions {known}"
    if siphash24(key, header[:_STATIC_SUM_AT]) != total:
        return "the beacon's header is not signed with the guest's key"
    if fields[6] != RECORDS:
        return f"the beacon has {fields[6]} records, and this lab reads {RECORDS}"
    if any(header[_ZERO_AT:]):
        return "the beacon's header has something where zeros belong"
    return None


def parse(page: bytes, key: bytes) -> Reading:
    """Read a page, and believe nothing that is not signed with `key`.

    Args:
        page: 4096 bytes of the host's memory.
        key: The guest's key, 16 bytes.

    Returns:
        The page; or that it is torn, or not this guest's, with the reason.
    """
    if len(page) != PAGE:
        return Foreign(f"{len(page)} bytes came, and a beacon has {PAGE}")
    header = page[:_DYNAMIC_AT]
    if fault := _static_fault(header, key):
        return Foreign(fault)
    _, version, vcpu, canary, boot_id, nvcpus, _, period_ns = _STATIC.unpack_from(header)
    dynamic = page[_DYNAMIC_AT:_DYNAMIC_SUM_AT]
    (total,) = _SUM.unpack_from(page, _DYNAMIC_SUM_AT)
    summed = page[_MORE_AT:_CHALLENGE_AT]
    if siphash24(key, _to_sum(dynamic, summed if version > 1 else None)) != total:
        return Torn(page[_DYNAMIC_AT:_CHALLENGE_AT], Owner(vcpu, canary, boot_id))
    ring = page[_RECORDS_AT:]
    seq, guest_ns, chain, *rest = _DYNAMIC.unpack(dynamic)
    gap_ns, gap_at_ns, faults, irqs = rest
    return Page(
        vcpu, canary, boot_id, nvcpus, period_ns,
        seq, guest_ns, chain, gap_ns, gap_at_ns, faults, irqs, ring,
        _more(page) if version > 1 else None,
    )  # fmt: skip


def _to_sum(dynamic: bytes, more: bytes | None) -> bytes:
    """Return what the sum of a beat is over; it counts itself as 0."""
    return dynamic if more is None else dynamic + bytes(_SUM.size) + more


def _more(page: bytes) -> More:
    verified, *rest = _MORE.unpack_from(page, _MORE_AT)
    return More(None if verified == _NO_RAM else verified, *rest)


def encode(page: Page, key: bytes) -> bytes:
    """Write a page as a guest would; for rehearsals and tests.

    Args:
        page: What it says.
        key: The guest's key, 16 bytes.

    Returns:
        4096 bytes, which `parse` reads back.
    """
    more, version = b"", 1
    if page.more is not None:
        verified, *rest = astuple(page.more)
        more, version = _MORE.pack(_NO_RAM if verified is None else verified, *rest), 2
    fixed = (MAGIC, version, page.vcpu, page.canary, page.boot_id, page.nvcpus, RECORDS)
    static = _STATIC.pack(*fixed, page.period_ns)
    gaps = (page.max_gap_ns, page.max_gap_at_ns, page.faults, page.irqs)
    dynamic = _DYNAMIC.pack(page.seq, page.guest_ns, page.chain, *gaps)
    head = static + _SUM.pack(siphash24(key, static))
    summed = _to_sum(dynamic, more[: _CHALLENGE_AT - _MORE_AT] if more else None)
    head = head.ljust(_DYNAMIC_AT, b"\0") + dynamic + _SUM.pack(siphash24(key, summed)) + more
    return head.ljust(_RECORDS_AT, b"\0") + page.ring.ljust(PAGE - _RECORDS_AT, b"\0")


def put_record(ring: bytearray, seq: int, guest_ns: int, chain: int) -> None:
    """Write the record of one beat into a ring; for rehearsals and tests.

    Args:
        ring: At least `RECORDS` * 20 bytes; changed in place.
        seq: The beat's number, from 1.
        guest_ns: Its time, by the guest's clock.
        chain: Its link, 64 bits.
    """
    at = (seq - 1) % RECORDS * _RECORD.size
    _RECORD.pack_into(ring, at, guest_ns, chain, seq & _LOW32)
