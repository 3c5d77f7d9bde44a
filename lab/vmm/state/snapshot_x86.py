# SPDX-License-Identifier: Apache-2.0
"""An x86-64 guest's vCPUs, interrupt controllers, PIT and clock, as words: read, and put back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..machine.driver import Driver
from ..machine.machine import Machine
from . import vcpu_record, vm_x86


def save(guest: Machine) -> dict[str, object]:
    """Read all of a guest that is paused, but for its RAM."""
    said, records = vm_x86.give(guest)
    return {"given": said, "records": [vm_x86.as_text(one) for one in records]}


def restore_vm(vm: int, _: Driver, said: Mapping[str, Any]) -> None:
    """Make interrupt controllers and PIT what they were."""
    vm_x86.put_devices(vm, vm_x86.understood(said["given"]))


def restore_vcpus(vm: int, _: Driver, fds: list[int], said: Mapping[str, Any]) -> None:
    """Make vCPUs and clock what they were: time has passed for them."""
    tsc = 0
    for fd, one in zip(fds, vm_x86.records_of(said["records"]), strict=True):
        vcpu_record.put(fd, one)
        tsc = vcpu_record.host_tsc(fd, one)
    vm_x86.put_clock(vm, vm_x86.understood(said["given"]), tsc)
