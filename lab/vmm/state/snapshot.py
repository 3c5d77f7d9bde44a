# SPDX-License-Identifier: Apache-2.0
"""A guest that stands still, but for its RAM, in words: for a VMM in another kernel to go on."""

from __future__ import annotations

import base64
import importlib
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import VmmError
from ..kvm import common as kvm
from ..kvm.ioctl import call
from ..machine import memory
from ..machine.create import Frame, assemble
from ..machine.driver import Driver
from ..machine.machine import Machine
from ..machine.memory import Ram, RamKind

MAGIC, VERSION = "labvmm-saved", 1
MODULES = {"x86_64": ".snapshot_x86", "aarch64": ".snapshot_arm64"}


def save(guest: Machine) -> dict[str, object]:
    """Pause a guest for good, and read all of it: it is to go on elsewhere, or here if it cannot.

    Raises:
        VmmError: It is of a kind of which not all can be read.
    """
    if guest.protected:
        raise VmmError("a protected guest cannot be saved: its host may not read it")
    if guest.lasting:
        raise VmmError("a guest that can be orphaned is not saved", hint="run it without that")
    guest.pause()
    try:
        state = _module().save(guest)
    except (OSError, VmmError):
        guest.resume()
        raise
    guest.given = True
    return {
        "magic": MAGIC,
        "version": VERSION,
        "arch": platform.machine(),
        "count": len(guest.vcpus),
        "serial": base64.b64encode(guest.driver.device_state()).decode(),
        "state": state,
    }


def go_on(guest: Machine) -> None:
    """Have a guest go on that was saved, and is not to go on elsewhere."""
    guest.given = False
    guest.resume()


def read(fd: int) -> Mapping[str, Any]:
    """Read what was saved.

    Raises:
        VmmError: It is nothing of that kind, of another version or architecture.
    """
    try:
        said = json.loads(os.pread(fd, os.fstat(fd).st_size, 0).rstrip(b"\0"))
        mine = MAGIC, VERSION, platform.machine()
        if (said["magic"], said["version"], said["arch"]) != mine:
            came = f"{said['magic']} {said['version']} of {said['arch']}"
            raise VmmError(f"what was saved is {came}; this labvmm goes on with {mine}")
    except (ValueError, KeyError, TypeError) as e:
        raise VmmError(f"what was preserved is no guest: {type(e).__name__}: {e}") from e
    return dict(said)


def restored(said: Mapping[str, Any], ram_fd: int, console: Path) -> Machine:
    """Make the guest again, in a VM of this kernel's; it does not run yet."""
    device = kvm.open_device()
    vm = call(device, kvm.Request.KVM_CREATE_VM, 0)
    count, module = int(said["count"]), _module()
    frame = Frame(console, count, serial=base64.b64decode(said["serial"]))

    def furnish(driver: Driver) -> tuple[Ram, list[int]]:
        ram = memory.mapped(RamKind.MEMFD, ram_fd, os.fstat(ram_fd).st_size)
        memory.attach(vm, ram)
        driver.prepare_vm()
        module.restore_vm(vm, driver, said["state"])
        fds = [call(vm, kvm.Request.KVM_CREATE_VCPU, n) for n in range(count)]
        module.restore_vcpus(vm, driver, fds, said["state"])
        return ram, fds

    return assemble(device, vm, frame, furnish)


def _module() -> ModuleType:
    machine = platform.machine()
    if machine not in MODULES:
        raise VmmError(f"a guest of '{machine}' cannot be saved")
    return importlib.import_module(MODULES[machine], __package__)
