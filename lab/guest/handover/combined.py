# SPDX-License-Identifier: Apache-2.0
"""Two ABIs for one guest: by KVM_RUN_ASYNC it outlives its VMM, by the caretaker its host."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from lab.deadline import Deadline
from lab.guest.guest import GuestPlan, RunningGuest
from lab.guest.handover.kvm_async import AsyncOrphaning
from lab.guest.handover.protocol import OrphanStatus
from lab.guest.handover.resident import ResidentOrphaning
from lab.host.host import RunningHost
from lab.observe.proof import Proof

_NEVER_COUNTED = -1  # KVM counts the adoptions of a VM, and the next kernel makes a new VM


class LastingOrphaning:
    """Its memory is a guest_memfd, so that KVM can run it without a VMM and LUO preserve it."""

    name = "lasting"
    orphans = True

    def __init__(self) -> None:
        self._kvm = AsyncOrphaning(words=("--plain",))
        self._caretaker = ResidentOrphaning(self.name, preserve=True, keeper_socket="resident.sock")

    def unsupported_reason(self, host: RunningHost, by: Deadline) -> str | None:
        """Ask for what both ABIs need."""
        return self._kvm.unsupported_reason(host, by) or self._caretaker.unsupported_reason(
            host, by
        )

    def start(self, host: RunningHost, plan: GuestPlan, by: Deadline) -> RunningGuest:
        """Start it as one that may lose its VMM."""
        return self._kvm.start(host, plan, by)

    def prepare_for_kernel_exit(self, guest: RunningGuest, by: Deadline) -> RunningGuest:
        """Kill its VMM, have another adopt it, make it resident, and kill that VMM, too."""
        if self._caretaker.unsupported_reason(guest.host, by) is not None:
            return guest
        guest.kill_vmm(by)
        guest = self._kvm.adopt(guest, by)
        moved = self._caretaker.prepare_for_kernel_exit(guest, by)
        return dataclasses.replace(moved, keepers=(*guest.keepers, *moved.keepers))

    def release(self, guest: RunningGuest, by: Deadline) -> None:
        """Have the VMM release it and end."""
        self._kvm.release(guest, by)

    def status(self, guest: RunningGuest, by: Deadline) -> OrphanStatus:
        """Ask the caretaker; if no vCPU is resident, KVM."""
        if self._caretaker.has(guest, by):
            status = self._caretaker.status(guest, by)
            return dataclasses.replace(status, generation=_NEVER_COUNTED)
        return self._kvm.status(guest, by)

    def verify_from_l0(self, guest: RunningGuest, pages: Mapping[int, int], by: Deadline) -> Proof:
        """Look at the CPUs that its vCPUs are on, if they are resident."""
        if self._caretaker.has(guest, by):
            return self._caretaker.verify_from_l0(guest, pages, by)
        return self._kvm.verify_from_l0(guest, pages, by)

    def adopt(self, guest: RunningGuest, by: Deadline) -> RunningGuest:
        """Start a VMM that adopts it from KVM; or in a new kernel from LUO, with a new keeper."""
        if not self._caretaker.has(guest, by):
            return self._kvm.adopt(guest, by)
        keeper = self._kvm.keeper(guest.host, guest.plan, by)
        words = ("--keeper", guest.plan.keeper_socket)
        guest = self._caretaker.adopt(guest, by, words=words)
        return dataclasses.replace(guest, keepers=(keeper,))
