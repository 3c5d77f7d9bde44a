# SPDX-License-Identifier: Apache-2.0
"""What was seen of one vCPU's beacon, look by look; believes a beat only if it is chained."""

from __future__ import annotations

import enum
from array import array
from dataclasses import dataclass
from itertools import pairwise

from lab.observe.beacon import READABLE, Foreign, More, Owner, Page, Reading, Torn
from lab.observe.chain import broken_at, origin

# A doubt is no race with the writer if it is the same in _SAME readings, or outlives _READINGS.
_SAME = 3
_READINGS = 8


class Kind(enum.StrEnum):
    """A way in which a beacon was not what it had been."""

    CANARY = "canary"
    RESTART = "restart"
    REWIND = "rewind"
    CHAIN = "chain"
    OVERRUN = "overrun"
    CLOCK = "clock"
    FAULTS = "faults"
    RAM = "ram"


@dataclass(frozen=True, slots=True)
class Anomaly:
    """Something that an unharmed guest's beacon does not do, seen by `at` on L0's clock."""

    kind: Kind
    at: float
    what: str


@dataclass(frozen=True, slots=True)
class Look:
    """One reading of a page took place between these two instants of L0's monotonic clock."""

    began: float
    ended: float


@dataclass(frozen=True, slots=True)
class Own:
    """What the beacon reports of itself besides its beats.

    Attributes:
        at: When it was read, on L0's monotonic clock in seconds.
        max_gap_ns: The longest step between two beats, by the guest's clock.
        max_gap_at_ns: The guest's time at the beginning of that step.
        faults: As on the page: what the guest itself found wrong.
    """

    at: float
    max_gap_ns: int
    max_gap_at_ns: int
    faults: int


@dataclass(slots=True)
class Blind:
    """A stretch in which the page could not be read or was not the guest's.

    Attributes:
        began: On L0's monotonic clock in seconds.
        ended: None as long as it goes on.
        reason: Why nothing was seen.
    """

    began: float
    ended: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class _Tail:
    seq: int
    chain: int
    guest_ns: int


class Trail:
    """The beats of one vCPU, each with the two looks that it came between.

    A batch is what one look added: beats `seq[i]`, `seq[i] + 1`... whose guest times begin at
    `stamps[start[i]]`; all came after `after[i]` and by `by[i]`. A look is clear when it proves
    which beat was the newest; only clear looks prove silence.

    Args:
        vcpu: Its index.
        key: The guest's key, 16 bytes.
        canary: The guest's canary, 16 bytes.
        boot_id: What the guest printed at its start; None to believe the first page.

    Attributes:
        nvcpus: How many vCPUs the guest says it has; 0 before the first page.
        period_ns: Time from one beat to the next, as the guest intends.
        stamps: The guest's time of each beat, in ns.
        seq: Of each batch, the number of its first beat.
        start: Of each batch, the index in `stamps` of its first beat.
        after: Of each batch, when the last clear look before it began; L0's clock, in seconds.
        by: Of each batch, when the look that saw it ended.
        links: Of each batch, the link of its newest beat.
        anchors: Of each batch that does not follow the one before it, the link before its first
            beat; None where no look showed it.
        clear_began: When each clear look began.
        clear_ended: When each clear look ended.
        anomalies: What an unharmed guest's beacon does not do, in order.
        blinds: The stretches in which nothing was seen, in order.
        moves: When another page began to be read.
        owns: What the beacon reported of itself, each time that it changed.
        irqs: As on the newest page.
        verified: Of each batch, the pages of RAM that were found as they were filled by its newest
            beat; -1 if the vCPU verifies none.
    """

    def __init__(self, vcpu: int, key: bytes, canary: bytes, boot_id: bytes | None = None) -> None:
        self.vcpu = vcpu
        self.boot_id = boot_id
        self.nvcpus = 0
        self.period_ns = 0
        self.stamps, self.seq, self.start = array("Q"), array("Q"), array("Q")
        self.after, self.by = array("d"), array("d")
        self.links = array("Q")
        self.anchors: dict[int, int | None] = {}
        self.verified = array("q")
        self.clear_began, self.clear_ended = array("d"), array("d")
        self.anomalies: list[Anomaly] = []
        self.blinds: list[Blind] = []
        self.moves: list[float] = []
        self.owns: list[Own] = []
        self.irqs = 0
        self._key, self._canary = key, canary
        self._mismatches = 0
        self._tail: _Tail | None = None
        self._torn = b""
        self._doubts: list[str] = []
        self._strange: tuple[bytes, int] | None = None
        self._at_home = True

    def take(self, look: Look, read: Reading) -> bool:
        """Take in one reading.

        Args:
            look: When it was read.
            read: What was read.

        Returns:
            False asks for another reading at once, since this one proved nothing.
        """
        if isinstance(read, Foreign):
            self.blind(look.ended, read.reason)
            return True
        if isinstance(read, Torn) and self._is_anothers(look, read.owner):
            return True
        if isinstance(read, Torn):
            # The same bytes twice: the writer was stopped in the middle of a beat.
            stuck, self._torn = read.dynamic == self._torn, read.dynamic
            if stuck:
                self._clear(look)
            return stuck
        self._torn = b""
        return self._take_page(look, read)

    def stop(self, batch: int) -> int:
        """Find where the stamps of a batch end.

        Args:
            batch: Its index.

        Returns:
            The index in `stamps` that is behind its newest beat.
        """
        return self.start[batch + 1] if batch + 1 < len(self.start) else len(self.stamps)

    def blind(self, at: float, reason: str) -> None:
        """Note that nothing could be seen of the guest.

        Args:
            at: When, on L0's monotonic clock in seconds.
            reason: Why; a stretch that goes on keeps its first reason.
        """
        if not self.blinds or self.blinds[-1].ended is not None:
            self.blinds.append(Blind(at, None, reason))

    def move(self, at: float) -> None:
        """Note that another page is read from now on; it must beat before it is believed.

        Args:
            at: When, on L0's monotonic clock in seconds.
        """
        self.moves.append(at)
        self._at_home, self._torn, self._strange = False, b"", None

    def _take_page(self, look: Look, page: Page) -> bool:
        if self._is_of_another(look, page):
            return True
        if self.boot_id is None:
            self.boot_id = page.boot_id
        if page.boot_id != self.boot_id:
            return self._take_stranger(look, page)
        tail = self._tail
        if tail is not None and page.seq < tail.seq:
            return self._take_stranger(look, page)
        if tail is not None and page.seq == tail.seq:
            return self._take_same(look, page, tail)
        return self._take_beats(look, page, tail)

    def _is_of_another(self, look: Look, page: Page | Owner) -> bool:
        if page.vcpu != self.vcpu:
            self.blind(look.ended, f"the beacon there is vCPU {page.vcpu}'s")
            return True
        if page.canary != self._canary:
            if not (self.blinds and self.blinds[-1].ended is None):
                self._note(look, Kind.CANARY, f"its canary became {page.canary.hex()}")
            self.blind(look.ended, "the beacon there has another canary")
            return True
        return False

    def _is_anothers(self, look: Look, owner: Owner) -> bool:
        """Whether a page in mid-beat is another guest's, or of another boot of this one."""
        if self._is_of_another(look, owner):
            return True
        if self.boot_id is None or owner.boot_id == self.boot_id or not self._at_home:
            return False
        if not (self.blinds and self.blinds[-1].ended is None):
            old, became = self.boot_id.hex(), owner.boot_id.hex()
            self._note(look, Kind.RESTART, f"it was restarted: boot id {old} became {became}")
        self.blind(look.ended, "the beacon there is of another boot, in the middle of a beat")
        return True

    def _take_same(self, look: Look, page: Page, tail: _Tail) -> bool:
        if tail.seq and page.chain != tail.chain:
            self._note(look, Kind.REWIND, f"beat {page.seq} came twice, and not the same")
            self._resume_from(look, page)
            return True
        self._settled(look, page)
        return True

    def _take_stranger(self, look: Look, page: Page) -> bool:
        """Another boot, or an older beat: a rewound guest, or after a move a stale copy of it."""
        now = (page.boot_id, page.seq)
        before, self._strange = self._strange, now
        moving = before is not None and before[0] == now[0] and before[1] != now[1]
        if not (self._at_home or moving):
            self.blind(look.ended, "the beacon there is a stale copy")
            return True
        old = self.boot_id.hex() if self.boot_id else ""
        if page.boot_id != self.boot_id:
            became = page.boot_id.hex()
            self._note(look, Kind.RESTART, f"it was restarted: boot id {old} became {became}")
        elif self._tail is not None:
            what = f"it was rewound: beat {self._tail.seq} became {page.seq}"
            self._note(look, Kind.REWIND, what)
        self._resume_from(look, page)
        return True

    def _take_beats(self, look: Look, page: Page, tail: _Tail | None) -> bool:
        known = tail is not None or page.seq <= READABLE
        if tail is None:
            tail = _Tail(0, origin(self._key, page.boot_id, page.vcpu), 0)
        if page.seq == 0:
            self._tail = tail
            self._settled(look, page)
            return True
        if not known:
            return self._resume_from(look, page)
        if page.seq - tail.seq > READABLE:
            what = f"{page.seq - tail.seq} beats came between two looks; {READABLE} can be read"
            self._note(look, Kind.OVERRUN, what)
            return self._resume_from(look, page)
        if doubt := self._doubt(page, tail):
            return self._doubted(look, page, *doubt)
        self._keep(look, page, tail.seq + 1, tail.guest_ns, tail.chain)
        return True

    def _doubt(self, page: Page, tail: _Tail) -> tuple[Kind, str] | None:
        first = tail.seq + 1
        records = page.records(first, page.seq)
        if records is None:
            return Kind.CHAIN, f"beats {first} to {page.seq} are not where they belong"
        stamps, chains = records
        if (stamps[-1], chains[-1]) != (page.guest_ns, page.chain):
            return Kind.CHAIN, f"header and record of beat {page.seq} differ"
        old = page.records(tail.seq, tail.seq) if 0 < page.seq - tail.seq < READABLE else None
        if old is not None and old[1][0] != tail.chain:
            return Kind.REWIND, f"beat {tail.seq} is not the one that was seen before"
        broken = broken_at(self._key, tail.chain, first, stamps, chains)
        return (Kind.CHAIN, f"the chain is broken at beat {broken}") if broken else None

    def _doubted(self, look: Look, page: Page, kind: Kind, what: str) -> bool:
        self._doubts.append(what)
        if len(self._doubts) < _READINGS and self._doubts.count(what) < _SAME:
            return False
        self._note(look, kind, what)
        self._resume_from(look, page)
        return True

    def _resume_from(self, look: Look, page: Page) -> bool:
        """Believe in `page` from here on, as far back as its own chain holds."""
        self._strange = None
        self._doubts.clear()
        self.boot_id = page.boot_id
        first = max(1, page.seq - READABLE + 1)
        records = page.records(first, page.seq)
        anchor: int | None = None
        if records is not None and page.seq > first:
            stamps, chains = records
            whole = broken_at(self._key, chains[0], first + 1, stamps[1:], chains[1:]) is None
            anchor = chains[0] if whole else None
        if page.seq:
            self._keep(look, page, page.seq if anchor is None else first + 1, 0, anchor)
        else:
            self._tail = _Tail(0, page.chain, 0)
            self._settled(look, page)
        return True

    def _keep(self, look: Look, page: Page, first: int, before_ns: int, anchor: int | None) -> None:
        records = page.records(first, page.seq)
        stamps = (page.guest_ns,) if records is None else records[0]
        back = max(a - b for a, b in pairwise((before_ns, *stamps)))
        if back > 0:
            self._note(look, Kind.CLOCK, f"its clock went back by {back / 1e9:.6f} s")
        if not self.links or anchor != self.links[-1]:
            self.anchors[len(self.links)] = anchor
        self.links.append(page.chain)
        self.start.append(len(self.stamps))
        self.seq.append(page.seq - len(stamps) + 1)
        self.stamps.extend(stamps)
        self.after.append(self.clear_began[-1] if self.clear_began else float("-inf"))
        self.by.append(look.ended)
        self._take_ram(look, page.more)
        self._tail = _Tail(page.seq, page.chain, page.guest_ns)
        self._at_home = True
        self._settled(look, page)

    def _take_ram(self, look: Look, more: More | None) -> None:
        found = None if more is None else more.ram_verified
        self.verified.append(-1 if found is None else found)
        wrong = 0 if more is None else more.ram_mismatches
        if wrong > self._mismatches:
            self._note(
                look,
                Kind.RAM,
                f"its RAM was corrupted: {wrong} pages are not as it had filled them",
            )
        self._mismatches = wrong

    def _settled(self, look: Look, page: Page) -> None:
        self._doubts.clear()
        self.nvcpus, self.period_ns, self.irqs = page.nvcpus, page.period_ns, page.irqs
        own = Own(look.ended, page.max_gap_ns, page.max_gap_at_ns, page.faults)
        last = self.owns[-1] if self.owns else own
        if own.faults != last.faults:
            what = f"it counted {own.faults} faults of its own, after {last.faults}"
            self._note(look, Kind.FAULTS, what)
        if not self.owns or (own.max_gap_ns, own.faults) != (last.max_gap_ns, last.faults):
            self.owns.append(own)
        self._clear(look)

    def _clear(self, look: Look) -> None:
        self.clear_began.append(look.began)
        self.clear_ended.append(look.ended)
        if self.blinds and self.blinds[-1].ended is None:
            self.blinds[-1].ended = look.began

    def _note(self, look: Look, kind: Kind, what: str) -> None:
        self.anomalies.append(Anomaly(kind, look.ended, what))
