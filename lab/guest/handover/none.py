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


class NoOrphaning:
    """An ordinary VM of labvmm's."""

    name = "none"

    def can(self, host: RunningHost, by: Deadline) -> str | None:
        """Say that this is the control."""
        return "its guests are ordinary VMs, which die with their VMM"

    def start(self, host: RunningHost, plan: GuestPlan, by: Deadline) -> RunningGuest:
        """Start the guest and return as soon as its VMM process exists."""
        return started(host, plan, run_argv(host, plan), by)

    def leave(self, guest: RunningGuest, by: Deadline) -> RunningGuest:
        """Do nothing: it will die with its host's kernel."""
        return guest

    def orphan(self, guest: RunningGuest, by: Deadline) -> None:
        """Refuse."""
        self._refuse()

    def status(self, guest: RunningGuest, by: Deadline) -> OrphanStatus:
        """Refuse."""
        self._refuse()

    def outside(
        self, guest: RunningGuest, pages: Mapping[int, int], by: Deadline
    ) -> tuple[str, bool]:
        """See nothing: its vCPUs are threads of the kernel's."""
        return "", True

    def adopt(self, guest: RunningGuest, by: Deadline) -> RunningGuest:
        """Refuse."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise UnavailableError("labvmm cannot hand a guest to a new process on this kernel")
