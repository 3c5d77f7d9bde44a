# SPDX-License-Identifier: Apache-2.0
"""The table of disruptions: from the word in a cell to the deed that returns its witness.

A deed is done once. It raises InfraError if it could not be done, or the host did not come back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lab.config.model import DisruptionKind, Options
from lab.disruption import host, vmm
from lab.disruption.delivered import Delivered
from lab.guest.guest import RunningGuest
from lab.guest.vmms.protocol import Vmm
from lab.observe.identity import Undisturbed

Deed = Callable[[RunningGuest, Vmm, Options], Delivered]


def nothing(guest: RunningGuest, driver: Vmm, options: Options) -> Delivered:
    """Do nothing: a control watch."""
    return Delivered(Undisturbed(), guest)


DEEDS: Mapping[DisruptionKind, Deed] = {
    DisruptionKind.NONE: nothing,
    DisruptionKind.VCPU_STOP: vmm.stop_vcpus,
    DisruptionKind.VMM_KILL: vmm.kill,
    DisruptionKind.VMM_SEGV: vmm.segv,
    DisruptionKind.VMM_OOM: vmm.oom,
    DisruptionKind.VMM_EXIT: vmm.leave,
    DisruptionKind.CPR_TRANSFER: vmm.transfer,
    DisruptionKind.KEXEC: host.kexec,
    DisruptionKind.CRASH_KEXEC: host.crash_kexec,
    DisruptionKind.HOST_RESET: host.reset,
}
