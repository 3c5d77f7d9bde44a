# SPDX-License-Identifier: Apache-2.0
"""The table of VMMs."""

from __future__ import annotations

from collections.abc import Mapping

from lab.machine.labvmm import LabVmm
from lab.machine.qemu import Qemu
from lab.machine.vmm import Vmm
from lab.spec.model import VmmKind

_DRIVERS: Mapping[VmmKind, Vmm] = {VmmKind.QEMU: Qemu(), VmmKind.LABVMM: LabVmm()}


def driver_for(kind: VmmKind) -> Vmm:
    """Give the VMM of that kind."""
    return _DRIVERS[kind]
