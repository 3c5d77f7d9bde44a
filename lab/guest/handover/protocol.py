# SPDX-License-Identifier: Apache-2.0
"""What the lab must be able to ask of a kernel's way to orphan a guest, whichever it is.

For a kernel with another ABI, write a module with a class of this shape, and name it in `table`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from lab.deadline import Deadline
from lab.guest.guest import GuestPlan, RunningGuest
from lab.host.host import RunningHost


@dataclass(frozen=True, slots=True)
class VcpuSeen:
    """What a vCPU does, as its kernel says without disturbing it.

    Attributes:
        state: PAUSED, RUNNING, STOPPING, STOPPED or FAILED.
        exit: Why it last left the guest.
        pc: Where in the guest it waits; None while it runs.
        exit_seq: How many exits were for user space.
        served: The number of the last one that a VMM served.
    """

    index: int
    state: str
    exit: str
    pc: str | None
    exit_seq: int
    served: int


@dataclass(frozen=True, slots=True)
class OrphanStatus:
    """Who owns a guest: PRESENT, RELEASED or GONE; how often it was adopted; its vCPUs, if any."""

    owner: str
    policy: str
    generation: int
    vcpus: tuple[VcpuSeen, ...]

    @property
    def parked(self) -> bool:
        """Whether none of its vCPUs runs."""
        return all(v.state != "RUNNING" for v in self.vcpus)


class Orphaning(Protocol):
    """One ABI. It has no state of its own: what runs is a RunningGuest."""

    name: str

    def can(self, host: RunningHost, by: Deadline) -> str | None:
        """Say why no guest of this host can outlive its VMM; None if one can."""
        ...

    def start(self, host: RunningHost, plan: GuestPlan, by: Deadline) -> RunningGuest:
        """Start a guest that can be orphaned, and return as soon as its VMM process exists.

        Raises:
            InfraError: it did not start; the message has the end of its log.
        """
        ...

    def leave(self, guest: RunningGuest, by: Deadline) -> RunningGuest:
        """Make it ready for the end of its host's kernel, as far as this ABI can.

        Raises:
            InfraError: what it can do was refused; the message has the reason.
        """
        ...

    def orphan(self, guest: RunningGuest, by: Deadline) -> None:
        """Have the VMM give the guest up and end, as planned.

        Raises:
            UnavailableError: this ABI cannot.
        """
        ...

    def status(self, guest: RunningGuest, by: Deadline) -> OrphanStatus:
        """Ask who owns it; no VMM need live.

        Raises:
            UnavailableError: this ABI cannot.
        """
        ...

    def outside(
        self, guest: RunningGuest, pages: Mapping[int, int], by: Deadline
    ) -> tuple[str, bool]:
        """Say what L0 itself sees of what holds it, and whether that is as it has to be.

        Args:
            guest: One that no VMM runs.
            pages: Where each vCPU's beacon is in the host's memory.
            by: When to give up.

        Returns:
            ("", True) where nothing is to be seen.
        """
        ...

    def adopt(self, guest: RunningGuest, by: Deadline) -> RunningGuest:
        """Have a new VMM take the guest over, and return it as it runs there.

        Raises:
            UnavailableError: this ABI cannot.
            InfraError: the new VMM did not get it, and why.
        """
        ...
