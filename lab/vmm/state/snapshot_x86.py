# SPDX-License-Identifier: Apache-2.0
"""An x86-64 guest's vCPUs, interrupt controllers, PIT and clock, as words: read, and put back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..machine.driver import Driver
from ..machine.machine import Machine
from . import vcpu_record, vm_x86


def save(guest: Machine) -> dict[str, object]:
    """Read all of a paused guest but its RAM."""
    state, records = vm_x86.hand_over(guest)
    return {"vm": state, "records": [vm_x86.record_as_text(one) for one in records]}


def restore_vm(vm: int, _: Driver, state: Mapping[str, Any]) -> None:
    """Restore interrupt controllers and PIT."""
    vm_x86.put_devices(vm, vm_x86.parse(state["vm"]))


def restore_vcpus(vm: int, _: Driver, fds: list[int], state: Mapping[str, Any]) -> None:
    """Restore vCPUs and clock; the guest's time has gone on meanwhile."""
    tsc = 0
    for fd, one in zip(fds, vm_x86.parse_records(state["records"]), strict=True):
        vcpu_record.restore(fd, one)
        tsc = vcpu_record.host_tsc(fd, one)
    vm_x86.put_clock(vm, vm_x86.parse(state["vm"]), tsc)
