# SPDX-License-Identifier: Apache-2.0
"""All that a judgement rests on, in one frozen value; whatever is not in it was not known."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lab.observe.identity import DidNot, Happened, Undisturbed
from lab.observe.search import Search
from lab.observe.trail import Trail
from lab.observe.window import Window
from lab.verdict.verdict import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is still a pause, and what is still the same pace.

    Attributes:
        patience: A longer silence is a loss, whatever comes after it; seconds.
        closing: A longer silence at the very end leaves open whether the guest still lives.
        live: How shortly before a disruption a guest must have beaten, at the most, to be called
            alive then; one that was seen to be silent must have beaten later (see `alive`).
        rewind: The largest rewind that may have been missed, in seconds.
        clock_step: By how much a guest's clock may step against L0's, in seconds.
        clock_rate: By how much its rate may differ, as a share; before the disruption from L0's,
            after it from what it was.
        beat_rate: The share of the beats of the baseline that must still come.
    """

    patience: float
    closing: float = 1.0
    live: float = 1.0
    rewind: float = 1.0
    clock_step: float = 0.2
    clock_rate: float = 0.05
    beat_rate: float = 0.1


class GuestClock(enum.StrEnum):
    """What a guest's clock does while the lab has stopped the guest."""

    RUNS = "runs"  # it shows afterwards that time went by
    STANDS = "stands"  # it goes on from where it was
    EITHER = "either"  # the ABI leaves it open


@dataclass(frozen=True, slots=True)
class Stop:
    """A stretch, of L0's clock, in which the lab itself had stopped the guest, and why.

    It excuses silence, and nothing else. Where vCPUs are parked and adopted under KVM, the TSC
    that the guest's clock is read from counts on, so the clock `RUNS`. So it does where a VMM
    restores a VM with KVM_SET_CLOCK and KVM_CLOCK_REALTIME, by which KVM adds the time that went
    by; without that flag it `STANDS`.

    Source: Documentation/virt/kvm/api.rst, 4.30 KVM_SET_CLOCK.
    """

    began: float
    ended: float
    why: str
    clock: GuestClock = GuestClock.RUNS

    @property
    def window(self) -> Window:
        """The stretch itself."""
        return Window(self.began, self.ended)


@dataclass(frozen=True, slots=True)
class Tally:
    """How often something was wanted (kexecs, kills, adoptions), and how often it was witnessed."""

    what: str
    wanted: int
    counted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryWitness:
    """Digests of the guest's memory before and after, by instants of L0's clock.

    Attributes:
        before: SHA-256 in hex; empty if it was not digested.
        before_at: From when on the memory was so; the guest was stopped by then.
        after: The same afterwards.
        after_at: When it was digested again.
    """

    before: str
    before_at: float
    after: str
    after_at: float


@dataclass(frozen=True, slots=True)
class ParkedClaim:
    """The caretaker reports that it has parked the guest's vCPUs, and why."""

    why: str


@dataclass(frozen=True, slots=True)
class HostDeath:
    """The L1 machine itself came to an end at `at`: shut off, crashed for good, or reset."""

    at: float
    what: str


@dataclass(frozen=True, slots=True)
class Interference:
    """What neither the lab nor the kernel under test did to the host, at `at` of L0's clock."""

    at: float
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of one guest in one cell.

    Attributes:
        trails: What was seen of each vCPU's beacon.
        expected_vcpus: How many vCPUs the guest was started with.
        baseline: The undisturbed stretch at the beginning of the watch.
        end: The end of the watch, on L0's clock.
        limits: What is still a pause.
        outside_eye: The beacon was read past L1 and not by it.
        disruption: Its witness; None is a witness that is missing, `Undisturbed` a control.
        scope: What the cell asks for.
        memory: Digests, if they were taken.
        parked: What the caretaker claims at the end of the watch.
        voids: Stretches in which L0 itself stalled.
        interference: What others did to the host: paused, reset or migrated it, or suspended L0.
        host_death: How the L1 machine ended, if it did.
        nowhere: After the watch all of the host's memory was searched, and no page of the guest's
            with its canary is in it.
        stops: What the lab itself stopped the guest for. Where it is parked, it is stopped from
            the disruption on in any case.
        search: What was found of the guest in all of the host's memory, after the watch.
        tallies: How often something was wanted, and how often it was witnessed.
        handed: When the lab began to hand the guest over for the disruption, if it did: what
            breaks from then on, the product broke.
        adopted: When another VMM had a guest that ran on without one; None if none adopted it, and
            of a guest that was parked, which has a stop.
    """

    trails: Mapping[int, Trail]
    expected_vcpus: int
    baseline: Window
    end: float
    limits: Limits
    outside_eye: bool
    disruption: Happened | DidNot | Undisturbed | None
    scope: Scope = Scope.RUNNING
    memory: MemoryWitness | None = None
    parked: ParkedClaim | None = None
    voids: tuple[Window, ...] = ()
    host_death: HostDeath | None = None
    nowhere: bool = False
    stops: tuple[Stop, ...] = ()
    search: Search | None = None
    tallies: tuple[Tally, ...] = ()
    handed: float | None = None
    interference: tuple[Interference, ...] = ()
    adopted: float | None = None

    @property
    def window(self) -> Window:
        """The whole watch."""
        return Window(self.baseline.began, self.end)

    @property
    def struck(self) -> float:
        """When the guest was disturbed; a control counts as disturbed from the beginning on."""
        known = isinstance(self.disruption, Happened)
        return self.disruption.at if known else self.baseline.began  # type: ignore[union-attr]

    @property
    def all_stops(self) -> tuple[Stop, ...]:
        """All stops, and the one that a parked guest is in."""
        if self.parked is None:
            return self.stops
        return (*self.stops, Stop(self.struck, self.end, self.parked.why))

    @property
    def first_touched(self) -> float:
        """When the guest was first touched for the disruption: handed over, stopped, or struck."""
        stopped = [s.began for s in self.stops if self.struck <= s.ended]
        digested = [] if self.memory is None else [self.memory.before_at]
        handed = [] if self.handed is None else [self.handed]
        return min([self.struck, *stopped, *digested, *handed])

    def stopped(self, stretch: Window) -> float:
        """Measure for how long the lab itself had the guest stopped.

        Args:
            stretch: Within which time, on L0's clock.

        Returns:
            Seconds.
        """
        return together(stretch, (stop.window for stop in self.all_stops))

    def unstopped(self, began: float, ended: float) -> float:
        """Measure for how long the guest was free to run.

        Args:
            began: From when on, in seconds of L0's clock.
            ended: Until when.

        Returns:
            Seconds.
        """
        return max(0.0, ended - began - self.stopped(Window(began, ended)))

    def stalled(self, stretch: Window) -> float:
        """Measure for how long L0 itself stalled.

        Args:
            stretch: Within which time, on L0's clock.

        Returns:
            Seconds.
        """
        return together(stretch, self.voids)


def together(stretch: Window, others: Iterable[Window]) -> float:
    """Seconds of `stretch` that are in any of `others`, which may overlap."""
    covered, reached = 0.0, stretch.began
    for other in sorted(others, key=lambda w: w.began):
        begun = max(reached, other.began)
        ended = min(stretch.ended, other.ended)
        covered += max(0.0, ended - begun)
        reached = max(reached, ended)
    return covered
