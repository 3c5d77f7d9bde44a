# SPDX-License-Identifier: Apache-2.0
"""All that a judgement rests on, in one frozen value; whatever is not in it was not known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lab.observe.identity import DidNot, Happened, Undisturbed
from lab.observe.trail import Trail
from lab.observe.window import Window
from lab.verdict.verdict import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is still a pause, in seconds.

    Attributes:
        patience: A longer silence is a loss, whatever comes after it.
        closing: A longer silence at the very end leaves open whether the guest still lives.
        live: How shortly before a disruption a guest must have beaten to be called alive then.
    """

    patience: float
    closing: float = 1.0
    live: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryWitness:
    """Digests of the guest's memory: what it was from `before_at` on, and at `after_at`.

    Instants of L0's clock; at `before_at` the guest stands still already.
    """

    before: str
    before_at: float
    after: str
    after_at: float


@dataclass(frozen=True, slots=True)
class ParkedClaim:
    """The caretaker says that it holds the guest's vCPUs, and why."""

    why: str


@dataclass(frozen=True, slots=True)
class HostDeath:
    """The L1 machine itself came to an end at `at`: shut off, crashed for good, or reset."""

    at: float
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of one guest in one cell.

    Attributes:
        trails: What was seen of each vCPU's beacon.
        expected_vcpus: How many vCPUs the guest was given.
        baseline: The undisturbed stretch at the beginning of the watch.
        end: The end of the watch, on L0's clock.
        limits: What is still a pause.
        outside_eye: The beacon was read past L1 and not by it.
        disruption: Its witness; None is a witness that is missing, `Undisturbed` a control.
        scope: What the cell asks for.
        memory: Digests, if they were taken.
        parked: What the caretaker claims at the end of the watch.
        voids: Stretches in which L0 itself stood still.
        host_death: How the L1 machine ended, if it did.
        nowhere: After the watch all of the host's memory was searched, and no page of the guest's
            with its canary is in it.
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

    @property
    def window(self) -> Window:
        """The whole watch."""
        return Window(self.baseline.began, self.end)

    @property
    def struck(self) -> float:
        """When the guest was disturbed; a control counts as disturbed from the beginning on."""
        known = isinstance(self.disruption, Happened)
        return self.disruption.at if known else self.baseline.began  # type: ignore[union-attr]
