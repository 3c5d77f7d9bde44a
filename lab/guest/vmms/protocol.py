# SPDX-License-Identifier: Apache-2.0
"""What a VMM inside L1 must be able to do for the lab, whichever it is."""

from __future__ import annotations

from typing import Protocol

from lab.config.model import VmmKind
from lab.deadline import Deadline
from lab.guest.guest import GuestPlan, RunningGuest
from lab.guest.handover.protocol import Orphaning
from lab.host.host import RunningHost


class Vmm(Protocol):
    """One VMM program. It has no state of its own: what runs is a RunningGuest.

    Attributes:
        kind: Which program.
        handover: The ABI by which its guests may outlive it or their host's kernel.
    """

    kind: VmmKind
    handover: Orphaning

    def start(self, host: RunningHost, plan: GuestPlan, by: Deadline) -> RunningGuest:
        """Start the guest, and return as soon as its VMM process exists.

        Args:
            host: The L1 to start it in.
            plan: The guest.
            by: When to give up.

        Returns:
            The guest; nothing says yet that it boots.

        Raises:
            UnavailableError: This VMM cannot run such a guest.
            InfraError: The VMM did not start; the message has the end of its log.
        """
        ...

    def quit(self, guest: RunningGuest, by: Deadline) -> None:
        """Ask the VMM to end by itself, as it would on its user's request.

        Args:
            guest: The guest.
            by: When to give up waiting for its answer; that it has ended is not waited for.

        Raises:
            InfraError: Its control socket does not answer.
        """
        ...

    def pause(self, guest: RunningGuest, by: Deadline) -> None:
        """Stop the guest's vCPUs; its memory does not change any more when this returns.

        Args:
            guest: The guest.
            by: When to give up.

        Raises:
            InfraError: Its control socket does not answer.
        """
        ...

    def registers(self, guest: RunningGuest, by: Deadline) -> str:
        """Stop the guest's vCPUs and read their registers, for a message about one that hangs.

        Args:
            guest: The guest.
            by: When to give up.

        Returns:
            Text for people: QEMU's `info registers -a`, or labvmm's JSON.

        Raises:
            InfraError: Its control socket does not answer.
        """
        ...

    def replace(self, guest: RunningGuest, by: Deadline) -> RunningGuest:
        """Hand the guest to a new process of this VMM, as planned.

        Args:
            guest: The guest, under a VMM that lives.
            by: When to give up.

        Returns:
            The guest under its new VMM.

        Raises:
            UnavailableError: This VMM cannot.
            InfraError: The hand-over failed; the message has the reason.
        """
        ...
