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
from lab.observe.proof import Proof


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
    """The strategy of one ABI. It has no state of its own: what runs is a RunningGuest.

    Attributes:
        name: The word of a cell's `orphaning` option; "none" for the control.
        orphans: Whether a guest of it may be there while no VMM is: it is then asked for.
    """

    name: str
    orphans: bool

    def unsupported_reason(self, host: RunningHost, by: Deadline) -> str | None:
        """Ask a host whether its guests can outlive what this ABI is for.

        Returns:
            Why none of them can; None if they can.
        """
        ...

    def start(self, host: RunningHost, plan: GuestPlan, by: Deadline) -> RunningGuest:
        """Start a guest that can be orphaned, and return as soon as its VMM process exists.

        Raises:
            InfraError: it did not start; the message has the end of its log.
        """
        ...

    def prepare_for_kernel_exit(self, guest: RunningGuest, by: Deadline) -> RunningGuest:
        """Make a guest ready for the end of its host's kernel, as far as this ABI can.

        Returns:
            The guest as it is then; the same if this ABI can do nothing for it.

        Raises:
            InfraError: what it can do was refused; the message has the reason.
        """
        ...

    def release(self, guest: RunningGuest, by: Deadline) -> None:
        """Have the VMM release the guest and end, as planned.

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

    def verify_from_l0(self, guest: RunningGuest, pages: Mapping[int, int], by: Deadline) -> Proof:
        """Look, from L0 and without asking the host, at what runs a guest that has no VMM.

        Args:
            guest: One that no VMM runs.
            pages: The physical address in the host's memory of each vCPU's beacon, by vCPU.
            by: When to give up.

        Returns:
            What was seen and by which method; `Method.NONE`, with the reason, where this ABI on
            this accelerator shows L0 nothing.
        """
        ...

    def adopt(self, guest: RunningGuest, by: Deadline) -> RunningGuest:
        """Have a new VMM take the guest over, and return it as it runs there.

        Raises:
            UnavailableError: this ABI cannot.
            InfraError: the new VMM did not get it, and why.
        """
        ...
