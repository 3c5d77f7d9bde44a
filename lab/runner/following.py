# SPDX-License-Identifier: Apache-2.0
"""A hand-over that has the eye find the guest's pages again after each step that may move them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from time import monotonic

from lab.config.model import Cell, DisruptionKind, OrphanPolicy
from lab.deadline import Deadline
from lab.disruption.delivered import Delivered
from lab.errors import InfraError
from lab.guest.guest import GuestPlan, RunningGuest
from lab.guest.handover.protocol import Orphaning, OrphanStatus
from lab.guest.vmms.protocol import Vmm
from lab.host.host import RunningHost
from lab.observe.proof import Proof
from lab.runner.watch import Watched, look_again
from lab.verdict.evidence import Tally


class Following:
    """An ABI as it is, with an eye that follows the guest; it counts the adoptions.

    Args:
        inner: The ABI.
        seen: The eye on the guest.

    Attributes:
        adoptions: How often a guest was adopted.
        began: When a guest was first handed over, on L0's clock; None if none was.
    """

    def __init__(self, inner: Orphaning, seen: Watched) -> None:
        self._inner, self._seen = inner, seen
        self.name, self.orphans = inner.name, inner.orphans
        self.adoptions = 0
        self.began: float | None = None

    def unsupported_reason(self, host: RunningHost, by: Deadline) -> str | None:
        """Ask the ABI."""
        return self._inner.unsupported_reason(host, by)

    def start(self, host: RunningHost, plan: GuestPlan, by: Deadline) -> RunningGuest:
        """Start a guest by the ABI."""
        return self._inner.start(host, plan, by)

    def prepare_for_kernel_exit(self, guest: RunningGuest, by: Deadline) -> RunningGuest:
        """Have the ABI do it; pinned pages are migrated out of the next kernel's way."""
        began = monotonic()
        ready = self._inner.prepare_for_kernel_exit(guest, by)
        if ready is not guest:
            self.began = began if self.began is None else self.began
            self._find(ready)
        return ready

    def release(self, guest: RunningGuest, by: Deadline) -> None:
        """Have the VMM release the guest by the ABI."""
        self._inner.release(guest, by)

    def status(self, guest: RunningGuest, by: Deadline) -> OrphanStatus:
        """Ask the ABI, and require an answer for each vCPU or for none.

        Raises:
            InfraError: Some vCPUs have no line in the answer.
        """
        status = self._inner.status(guest, by)
        if len(status.vcpus) not in {0, guest.plan.vcpus}:
            raise InfraError(
                f"{guest.plan.name} has {guest.plan.vcpus} vCPUs, but its kernel lists "
                f"{len(status.vcpus)}"
            )
        return status

    def verify_from_l0(self, guest: RunningGuest, pages: Mapping[int, int], by: Deadline) -> Proof:
        """Have the ABI look."""
        return self._inner.verify_from_l0(guest, pages, by)

    def adopt(self, guest: RunningGuest, by: Deadline) -> RunningGuest:
        """Have the ABI do it, and count it."""
        guest = self._inner.adopt(guest, by)
        self.adoptions += 1
        self._find(guest)
        return guest

    def tallies(self, cell: Cell, delivered: Delivered, *, gone: bool) -> tuple[Tally, ...]:
        """Return what was ordered how often, and how often the witnesses counted it.

        Args:
            cell: What was run.
            delivered: What was done to the guest.
            gone: The VMM was gone when the watch ended.

        Returns:
            Kexecs and adoptions, if the cell has them.
        """
        found = []
        kexecs = cell.options.kexecs if cell.disruption is DisruptionKind.KEXEC else 0
        if kexecs:
            found.append(Tally("kexecs", kexecs, int(delivered.facts.get("kexecs", 0))))
        if self.orphans:
            adopted = cell.options.policy is not OrphanPolicy.KILL and gone
            wanted = max(kexecs, 1) if adopted else 0
            found.append(Tally("adoptions", wanted, self.adoptions))
        return tuple(found)

    def _find(self, guest: RunningGuest) -> None:
        try:
            look_again(self._seen, guest)
        except InfraError:
            # A guest that is nowhere is judged by that; the step itself was done.
            self._seen.eye.mark("not found")


def followed(driver: Vmm, seen: Watched) -> tuple[Vmm, Following]:
    """Return the driver with an eye that follows its guests, and the hand-over that counts."""
    following = Following(driver.handover, seen)
    other = copy.copy(driver)
    other.handover = following
    return other, following
