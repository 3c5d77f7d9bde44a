# SPDX-License-Identifier: Apache-2.0
"""No hand-over ABI: the guest dies with its VMM, as on every stock kernel."""

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
        """Return why its guests cannot be orphaned: this is the control.

        Args:
            host: Not asked.
            by: Not used.

        Returns:
            The same reason always, on every kernel.
        """
        return "its guests are ordinary VMs, which die with their VMM"

    def start(self, host: RunningHost, plan: GuestPlan, by: Deadline) -> RunningGuest:
        """Start an ordinary guest, and return as soon as its VMM process exists.

        Args:
            host: The L1 to start it in.
            plan: The guest; its `orphan_policy` is not used.
            by: When to give up.

        Returns:
            The guest.

        Raises:
            InfraError: The VMM ended at once; the message has its log.
        """
        return started(host, plan, run_argv(host, plan), by)

    def prepare_for_kernel_exit(self, guest: RunningGuest, by: Deadline) -> RunningGuest:
        """Do nothing: the guest ends with its host's kernel.

        Args:
            guest: The guest.
            by: Not used.

        Returns:
            The same guest.
        """
        return guest

    def release(self, guest: RunningGuest, by: Deadline) -> None:
        """Refuse: a stock VM has no other owner than the process that made it.

        Args:
            guest: Not touched.
            by: Not used.

        Raises:
            UnavailableError: Always.
        """
        self._refuse()

    def status(self, guest: RunningGuest, by: Deadline) -> OrphanStatus:
        """Refuse: without an ABI there is nobody to ask.

        Args:
            guest: Not touched.
            by: Not used.

        Returns:
            Never.

        Raises:
            UnavailableError: Always.
        """
        self._refuse()

    def verify_from_l0(self, guest: RunningGuest, pages: Mapping[int, int], by: Deadline) -> Proof:
        """Return that there is nothing to look at.

        Args:
            guest: Not looked at.
            pages: Not read.
            by: Not used.

        Returns:
            A proof of `Method.NONE`, with the reason.
        """
        return unseen("the guest ends with its VMM: nothing runs it afterwards")

    def adopt(self, guest: RunningGuest, by: Deadline) -> RunningGuest:
        """Refuse: a stock VM has no other owner than the process that made it.

        Args:
            guest: It stays with its VMM.
            by: Not used.

        Returns:
            Nothing: it always raises.

        Raises:
            UnavailableError: Always.
        """
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise UnavailableError("labvmm cannot hand a guest to a new process on this kernel")
