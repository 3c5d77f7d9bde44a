# SPDX-License-Identifier: Apache-2.0
"""The table of VMMs."""

from __future__ import annotations

from collections.abc import Mapping

from lab.config.model import VmmKind
from lab.guest.vmms.labvmm import LabVmm
from lab.guest.vmms.protocol import Vmm
from lab.guest.vmms.qemu import Qemu

_DRIVERS: Mapping[VmmKind, Vmm] = {VmmKind.QEMU: Qemu(), VmmKind.LABVMM: LabVmm()}


def driver_for(kind: VmmKind) -> Vmm:
    """Give the VMM of that kind."""
    return _DRIVERS[kind]
