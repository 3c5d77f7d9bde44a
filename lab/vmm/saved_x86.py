# SPDX-License-Identifier: Apache-2.0
"""An x86-64 guest's vCPUs, interrupt controllers, PIT and clock, as words: read, and put back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import given, record
from .driver import Driver
from .machine import Machine


def save(guest: Machine) -> dict[str, object]:
    """Read all of a guest that is paused, but for its RAM."""
    said, records = given.give(guest)
    return {"given": said, "records": [given.as_text(one) for one in records]}


def restore_vm(vm: int, _: Driver, said: Mapping[str, Any]) -> None:
    """Make interrupt controllers and PIT what they were."""
    given.put_devices(vm, given.understood(said["given"]))


def restore_vcpus(vm: int, _: Driver, fds: list[int], said: Mapping[str, Any]) -> None:
    """Make vCPUs and clock what they were: time has passed for them."""
    tsc = 0
    for fd, one in zip(fds, given.records_of(said["records"]), strict=True):
        record.put(fd, one)
        tsc = record.host_tsc(fd, one)
    given.put_clock(vm, given.understood(said["given"]), tsc)
