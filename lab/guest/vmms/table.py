# SPDX-License-Identifier: Apache-2.0
"""The table of VMMs."""

from __future__ import annotations

from lab.config.model import VmmKind
from lab.guest.handover.table import orphaning_for
from lab.guest.vmms.labvmm import LabVmm
from lab.guest.vmms.protocol import Vmm
from lab.guest.vmms.qemu import Qemu


def driver_for(kind: VmmKind, orphaning: str | None = None) -> Vmm:
    """Return the VMM of one kind, with the ABI by which its guests may outlive it.

    Args:
        kind: Which program.
        orphaning: The ABI's name; None for an ordinary guest. QEMU has none, whatever this is.

    Returns:
        The VMM.

    Raises:
        ConfigError: No ABI has this name; the hint lists those there are.
    """
    if kind is VmmKind.QEMU:
        return Qemu()
    return LabVmm(orphaning_for(orphaning or "none"))
