# SPDX-License-Identifier: Apache-2.0
"""No way at all: the guest dies with its VMM, as on every stock kernel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from lab.deadline import Deadline
from lab.errors import UnavailableError
from lab.guest.guest import GuestPlan, RunningGuest
from lab.guest.handover.launch import run_argv
from lab.guest.handover.protocol import OrphanStatus
from lab.guest.start import started
from lab.host.host import RunningHost
from lab.observe.proof import Proof, unseen


class NoOrphaning:
    """An ordinary VM of labvmm's."""

    name = "none"
    orphans = False

    def unsupported_reason(self, host: RunningHost, by: Deadline) -> str | None:
        """Say that this is the control."""
        return "its guests are ordinary VMs, which die with their VMM"

    def start(self, host: RunningHost, plan: GuestPlan, by: Deadline) -> RunningGuest:
        """Start the guest and return as soon as its VMM process exists."""
        return started(host, plan, run_argv(host, plan), by)

    def prepare_for_kernel_exit(self, guest: RunningGuest, by: Deadline) -> RunningGuest:
        """Do nothing: it will die with its host's kernel."""
        return guest

    def release(self, guest: RunningGuest, by: Deadline) -> None:
        """Refuse."""
        self._refuse()

    def status(self, guest: RunningGuest, by: Deadline) -> OrphanStatus:
        """Refuse."""
        self._refuse()

    def verify_from_l0(self, guest: RunningGuest, pages: Mapping[int, int], by: Deadline) -> Proof:
        """Say that there is nothing to look at."""
        return unseen("the guest ends with its VMM: nothing runs it afterwards")

    def adopt(self, guest: RunningGuest, by: Deadline) -> RunningGuest:
        """Refuse."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise UnavailableError("labvmm cannot hand a guest to a new process on this kernel")
