# SPDX-License-Identifier: Apache-2.0
"""A guest of plain bytes, in a time of its own, that can be wrong in each way a guest can be.

For tests of whatever rests on the witness: no machine, no thread, no waiting.
"""

from __future__ import annotations

import copy
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from lab.observe.beacon import PAGE, More, Page, encode, put_record
from lab.observe.chain import origin, siphash24
from lab.observe.eye import Eye
from lab.observe.identity import DidNot, Happened, Undisturbed
from lab.observe.search import Search, sighted
from lab.observe.window import Window
from lab.testing.simulated_ram import FakeRam
from lab.verdict.evidence import Evidence, Limits

KEY = bytes(range(16))
CANARY = bytes(range(100, 116))
BOOT = bytes(range(200, 216))
LIMITS = Limits(patience=5.0)
_STEP_S = 0.05
_READ_S = 0.0005
_RING = 192 * 20
_DYNAMIC_AT, _SUM_AT = 0x80, 0xB8


@dataclass(slots=True)
class FakeVcpu:
    """One vCPU: its page as it will be written next, its part of RAM, and whether it runs."""

    page: Page
    phys: int
    ring: bytearray = field(default_factory=lambda: bytearray(_RING))
    ram: FakeRam | None = None
    due_ns: int = 0
    running: bool = True


class FakeGuest:
    """Beats into its memory while `advance` lets time pass; `now` is L0's clock, in seconds.

    Its guest clock goes with L0's unless `clock_runs` is off; `readable` off is a host whose memory
    cannot be read. Its beacon is of version 2, or of 1, which knows nothing of RAM; with `verifies`
    off it is of version 2 and verifies none.
    """

    def __init__(
        self,
        vcpus: int = 1,
        *,
        period_ns: int = 10_000_000,
        base: int = 0x10_0000,
        version: int = 2,
        verifies: bool = True,
    ) -> None:
        self.now = 1000.0
        self.guest_ns = 7_000_000_000
        self.clock_runs = self.readable = True
        self.clock_rate = 1.0
        self.memory: dict[int, bytearray] = {}
        self.copies: dict[int, int] = {}  # of a vCPU: where it beats a second time
        self.vcpus: list[FakeVcpu] = []
        for n in range(vcpus):
            first = origin(KEY, BOOT, n)
            page = Page(n, CANARY, BOOT, vcpus, period_ns, 0, 0, first, 0, 0, 0, 0, b"")
            page = replace(page, more=More() if version > 1 else None)
            ram = FakeRam() if version > 1 and verifies else None
            phys = base + 0x20_0000 * (n // 2) + PAGE * (n % 2)
            self.vcpus.append(FakeVcpu(page, phys, ram=ram, due_ns=self.guest_ns + period_ns))
            self.publish(n)

    @property
    def pages(self) -> Mapping[int, int]:
        """Where each vCPU's page is."""
        return {n: vcpu.phys for n, vcpu in enumerate(self.vcpus)}

    def clock(self) -> float:
        """Return L0's time, in seconds."""
        return self.now

    def read(self, phys: int, size: int) -> bytes:
        """Read L1's memory, which takes a moment; what was never written is zeros."""
        self.advance(_READ_S)
        if not self.readable:
            raise OSError("the host's memory cannot be read")
        found = bytearray(size)
        for at, page in self.memory.items():
            if phys <= at and at + PAGE <= phys + size:
                found[at - phys : at - phys + PAGE] = page
        return bytes(found)

    def advance(self, seconds: float) -> None:
        """Let time pass, in which the vCPUs that run beat."""
        self.now += seconds
        if self.clock_runs:
            self.guest_ns += round(seconds * 1e9 * self.clock_rate)
        for n, vcpu in enumerate(self.vcpus):
            beaten = False
            while vcpu.due_ns <= self.guest_ns:
                if vcpu.running:
                    self.beat(n, vcpu.due_ns)
                    beaten = True
                vcpu.due_ns += vcpu.page.period_ns
            if beaten:
                self.publish(n)

    def beat(self, n: int, guest_ns: int) -> None:
        """Let vCPU `n` beat once at `guest_ns` of its clock, as `beacon_beat` in C does."""
        vcpu = self.vcpus[n]
        page, seq = vcpu.page, vcpu.page.seq + 1
        gap = guest_ns - page.guest_ns if page.seq else 0
        if gap < 0:
            page = replace(page, faults=page.faults + 1)
        elif gap > page.max_gap_ns:
            page = replace(page, max_gap_ns=gap, max_gap_at_ns=page.guest_ns)
        chain = siphash24(KEY, struct.pack("<QQQ", page.chain, seq, guest_ns))
        put_record(vcpu.ring, seq, guest_ns, chain)
        vcpu.page = replace(page, seq=seq, guest_ns=guest_ns, chain=chain, irqs=page.irqs + 1)
        if vcpu.ram is not None:
            more = More(vcpu.ram.verified, vcpu.ram.mismatches)
            vcpu.page = replace(vcpu.page, more=more)
            vcpu.ram.step()

    def publish(self, n: int, *, key: bytes = KEY) -> None:
        """Write vCPU `n`'s page into memory."""
        vcpu = self.vcpus[n]
        written = encode(replace(vcpu.page, ring=bytes(vcpu.ring)), key)
        self.memory[vcpu.phys] = bytearray(written)
        if n in self.copies:
            self.memory[self.copies[n]] = bytearray(written)

    def freeze(self, *vcpus: int) -> None:
        """Stop these vCPUs, or all."""
        for n in vcpus or range(len(self.vcpus)):
            self.vcpus[n].running = False

    def thaw(self) -> None:
        """Resume all vCPUs."""
        for vcpu in self.vcpus:
            vcpu.running = True

    def snapshot(self) -> list[FakeVcpu]:
        """Return a copy of the state of all vCPUs."""
        return copy.deepcopy(self.vcpus)

    def rewind(self, snapshot: list[FakeVcpu]) -> None:
        """Go back to an older state; the clock goes on."""
        self.vcpus = copy.deepcopy(snapshot)
        for n, vcpu in enumerate(self.vcpus):
            vcpu.due_ns = self.guest_ns + vcpu.page.period_ns
            self.publish(n)

    def restart(self, boot_id: bytes) -> None:
        """Boot anew in the same memory."""
        for n, vcpu in enumerate(self.vcpus):
            vcpu.page = replace(
                vcpu.page, boot_id=boot_id, seq=0, guest_ns=0, chain=origin(KEY, boot_id, n)
            )
            vcpu.page = replace(vcpu.page, max_gap_ns=0, max_gap_at_ns=0, faults=0, irqs=0)
            vcpu.ring = bytearray(_RING)
            vcpu.ram = None if vcpu.ram is None else FakeRam()
            self.publish(n)

    def break_chain(self, n: int) -> None:
        """Let vCPU `n` go on from a wrong link."""
        self.vcpus[n].page = replace(self.vcpus[n].page, chain=self.vcpus[n].page.chain ^ 1)

    def change_canary(self, n: int) -> None:
        """Change the canary of vCPU `n`, and sign the page rightly."""
        self.vcpus[n].page = replace(self.vcpus[n].page, canary=bytes(16))
        self.publish(n)

    def tear(self, n: int) -> None:
        """Stop vCPU `n` between the numbers of a beat and their sum."""
        vcpu = self.vcpus[n]
        vcpu.running = False
        before = self.memory[vcpu.phys][_SUM_AT : _SUM_AT + 8]
        self.beat(n, vcpu.due_ns)
        self.publish(n)
        self.memory[vcpu.phys][_SUM_AT : _SUM_AT + 8] = before

    def move(self, n: int, phys: int) -> None:
        """Go on at another place in memory; the old page stays as it was."""
        self.vcpus[n].phys = phys
        self.publish(n)

    def wipe(self, n: int) -> None:
        """Put something else where vCPU `n`'s page was."""
        self.memory[self.vcpus[n].phys] = bytearray(b"\x5a" * PAGE)


class Rehearsal:
    """A guest and an eye on it, from a baseline to a verdict."""

    def __init__(
        self,
        vcpus: int = 1,
        *,
        baseline_s: float = 3.0,
        step_s: float = _STEP_S,
        period_ns: int = 10_000_000,
        version: int = 2,
        verifies: bool = True,
    ) -> None:
        self.guest = FakeGuest(vcpus, period_ns=period_ns, version=version, verifies=verifies)
        self.step_s = step_s
        self.start(baseline_s)

    def start(self, baseline_s: float = 3.0) -> None:
        """Open an eye, and let a baseline go by."""
        self.eye = Eye(
            self.guest.read, self.guest.pages, KEY, CANARY, boot_id=BOOT, clock=self.guest.clock
        )
        self.watch(0.5)
        began = self.guest.now
        self.watch(baseline_s)
        self.baseline = Window(began, self.guest.now)

    def watch(self, seconds: float) -> None:
        """Let time pass, and look."""
        until = self.guest.now + seconds
        while self.guest.now < until:
            self.guest.advance(self.step_s)
            self.eye.look()

    def now(self, what: str = "vmm-kill") -> Happened:
        """Witness a disruption at this very moment."""
        return Happened(what, self.guest.now, self.guest.now)

    def search(self) -> Search:
        """Search all of the memory for the guest."""
        guest = self.guest
        found = sighted(guest.read, tuple(guest.memory), KEY, lambda: guest.advance(0.5))
        return Search(found, tuple(self.eye.pages.values()), whole=guest.readable)

    def evidence(
        self, disruption: Happened | DidNot | Undisturbed | None, *, searched: bool = True
    ) -> Evidence:
        """Return what is known now; with `searched`, of all of the host's memory too."""
        found = self.eye.found()  # before the search, which takes a while
        end = self.guest.now
        return Evidence(
            search=self.search() if searched else None,
            trails=found.trails,
            expected_vcpus=len(self.guest.vcpus),
            baseline=self.baseline,
            end=end,
            limits=LIMITS,
            outside_eye=True,
            disruption=disruption,
        )
