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
        """Start the guest and return as soon as its VMM process exists.

        Raises:
            InfraError: the VMM did not start; the message has the end of its log.
        """
        ...

    def quit(self, guest: RunningGuest, by: Deadline) -> None:
        """Ask the VMM to end by itself, as it would on its user's request."""
        ...

    def pause(self, guest: RunningGuest, by: Deadline) -> None:
        """Stop the guest's vCPUs; its memory does not change any more when this returns."""
        ...

    def registers(self, guest: RunningGuest, by: Deadline) -> str:
        """Stop the guest's vCPUs and say where each is: for a message about one that hangs."""
        ...

    def replace(self, guest: RunningGuest, by: Deadline) -> RunningGuest:
        """Hand the guest to a new process of this VMM, as planned, and return it as it runs there.

        Raises:
            UnavailableError: this VMM cannot.
        """
        ...
