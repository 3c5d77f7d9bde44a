# SPDX-License-Identifier: Apache-2.0
"""labvmm as a VMM: our own, in L1, driven over its control socket."""

from __future__ import annotations

import json
from typing import Any

from lab.config.model import VmmKind
from lab.deadline import Deadline
from lab.guest.guest import GuestPlan, RunningGuest
from lab.guest.handover.protocol import Orphaning
from lab.host.commands import labvmm
from lab.host.host import RunningHost


class LabVmm:
    """The small KVM VMM of package lab.vmm, shipped on the tools disk."""

    kind = VmmKind.LABVMM

    def __init__(self, handover: Orphaning) -> None:
        self.handover = handover

    def start(self, host: RunningHost, plan: GuestPlan, by: Deadline) -> RunningGuest:
        """Start the guest, as its hand-over ABI has it started."""
        return self.handover.start(host, plan, by)

    def quit(self, guest: RunningGuest, by: Deadline) -> None:
        """Have it end by itself."""
        _ctl(guest, "quit", by)

    def pause(self, guest: RunningGuest, by: Deadline) -> None:
        """Stop the guest's vCPUs."""
        _ctl(guest, "pause", by)

    def registers(self, guest: RunningGuest, by: Deadline) -> str:
        """Stop the guest's vCPUs and read the state, last exit and registers of each."""
        self.pause(guest, by)
        return json.dumps({verb: _ctl(guest, verb, by) for verb in ("status", "regs")}, indent=1)

    def replace(self, guest: RunningGuest, by: Deadline) -> RunningGuest:
        """Have the VMM release the guest, and a new one adopt it."""
        self.handover.release(guest, by)
        return self.handover.adopt(guest, by)


def _ctl(guest: RunningGuest, verb: str, by: Deadline) -> Any:
    return labvmm(guest.host.session, "ctl", "--socket", guest.plan.socket, verb, by=by)
