# SPDX-License-Identifier: Apache-2.0
"""What the lab asks of a kernel's hand-over ABI, whichever it is.

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
from lab.verdict.evidence import ParkedClaim


@dataclass(frozen=True, slots=True)
class VcpuSeen:
    """What a vCPU does, as its kernel reports without disturbing it.

    Attributes:
        index: Its number, from 0.
        state: PAUSED, RUNNING, STOPPING, STOPPED or FAILED.
        exit: Why it last left the guest.
        pc: Where in the guest it waits, in hex; None while it runs.
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
    """Who owns a guest, and what its vCPUs do.

    Attributes:
        owner: PRESENT, RELEASED or GONE.
        policy: What its vCPUs do while nobody owns it: "run", "park" or "kill".
        generation: How often its VM was adopted; -1 of a VM that the next kernel has yet to make.
        vcpus: Its vCPUs by index; empty if the guest is nowhere.
    """

    owner: str
    policy: str
    generation: int
    vcpus: tuple[VcpuSeen, ...]

    @property
    def parked(self) -> bool:
        """Whether none of its vCPUs runs."""
        return all(v.state != "RUNNING" for v in self.vcpus)

    @property
    def claim(self) -> ParkedClaim | None:
        """What its kernel claims of each vCPU, if it says that none runs and nobody owns it."""
        if not self.parked or self.owner == "PRESENT":
            return None
        where = (f"vCPU {v.index} {v.state} after {v.exit} at {v.pc}" for v in self.vcpus)
        return ParkedClaim("; ".join(where))

    def not_adopted_since(self, before: OrphanStatus) -> str:
        """Compare with the status before an adoption.

        Args:
            before: The status before it.

        Returns:
            Why the guest was not adopted, by its kernel's word; "" if it was.
        """
        if self.owner == "PRESENT" and self.generation == before.generation + 1:
            return ""
        return f"it was not adopted, and its kernel says: {self}"

    def __str__(self) -> str:
        vcpus = "; ".join(f"vCPU {v.index} {v.state}, exit {v.exit_seq}" for v in self.vcpus)
        return f"owner {self.owner}, adopted {self.generation} times; {vcpus}"


class Orphaning(Protocol):
    """The strategy of one ABI. It has no state of its own: what runs is a RunningGuest.

    Attributes:
        name: The word of a cell's `orphaning` option; "none" for the control.
        orphans: Whether the guest can outlive its VMM, so that its status is asked for afterwards.
    """

    name: str
    orphans: bool

    def unsupported_reason(self, host: RunningHost, by: Deadline) -> str | None:
        """Ask a host whether its guests can outlive what this ABI is for.

        Args:
            host: The L1.
            by: When to give up.

        Returns:
            Why none of them can; None if they can.
        """
        ...

    def start(self, host: RunningHost, plan: GuestPlan, by: Deadline) -> RunningGuest:
        """Start a guest that can be orphaned, and return as soon as its VMM process exists.

        Args:
            host: The L1 to start it in.
            plan: The guest.
            by: When to give up.

        Returns:
            The guest, with its keepers if this ABI has them.

        Raises:
            InfraError: It did not start; the message has the end of its log.
        """
        ...

    def prepare_for_kernel_exit(self, guest: RunningGuest, by: Deadline) -> RunningGuest:
        """Make a guest ready for the end of its host's kernel, as far as this ABI can.

        Args:
            guest: The guest, under its VMM.
            by: When to give up.

        Returns:
            The guest as it is then; the same if this ABI can do nothing for it.

        Raises:
            InfraError: What it can do was refused; the message has the reason.
        """
        ...

    def release(self, guest: RunningGuest, by: Deadline) -> None:
        """Have the VMM release the guest and end, as planned.

        Args:
            guest: The guest, under its VMM.
            by: When to give up.

        Raises:
            UnavailableError: This ABI cannot.
            DeadlineError: The VMM does not end.
        """
        ...

    def status(self, guest: RunningGuest, by: Deadline) -> OrphanStatus:
        """Ask the host who owns the guest; no VMM need live.

        Args:
            guest: The guest.
            by: When to give up.

        Returns:
            Owner GONE and no vCPU, if the guest is nowhere.

        Raises:
            UnavailableError: This ABI cannot.
            InfraError: There was no answer that can be read.
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
        """Start a VMM that adopts the guest.

        Args:
            guest: An orphan.
            by: When to give up.

        Returns:
            The guest under its new VMM.

        Raises:
            UnavailableError: This ABI cannot.
            InfraError: The new VMM did not get it; the message has the reason.
        """
        ...
