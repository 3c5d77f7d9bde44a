# SPDX-License-Identifier: Apache-2.0
"""A paused guest's state without its RAM, as JSON: for a VMM under another kernel to restore."""

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
    """Pause a guest and read all of it; it resumes elsewhere, or here after `cancel`.

    Args:
        guest: A guest that dies with its VMM and is not protected.

    Returns:
        Its state, all JSON.

    Raises:
        VmmError: The guest is of a kind of which not all can be read.
    """
    if guest.protected:
        raise VmmError("a protected guest cannot be saved: its host may not read it")
    if guest.orphanable:
        raise VmmError(
            "a guest that can be orphaned is not saved", hint="run it without --orphanable"
        )
    guest.pause()
    try:
        state = _module().save(guest)
    except (OSError, VmmError):
        guest.resume()
        raise
    guest.handed_over = True
    return {
        "magic": MAGIC,
        "version": VERSION,
        "arch": platform.machine(),
        "count": len(guest.vcpus),
        "serial": base64.b64encode(guest.driver.device_state()).decode(),
        "state": state,
    }


def cancel(guest: Machine) -> None:
    """Resume a guest that was saved and will not be restored elsewhere.

    Args:
        guest: The guest.
    """
    guest.handed_over = False
    guest.resume()


def read(fd: int) -> Mapping[str, Any]:
    """Read what `save` returned.

    Args:
        fd: The memfd that has it as JSON, padded with zeros to whole pages.

    Returns:
        The state.

    Raises:
        VmmError: The memfd has no such state, or one of another version or architecture.
    """
    try:
        description = json.loads(os.pread(fd, os.fstat(fd).st_size, 0).rstrip(b"\0"))
        mine = MAGIC, VERSION, platform.machine()
        if (description["magic"], description["version"], description["arch"]) != mine:
            came = f"{description['magic']} {description['version']} of {description['arch']}"
            raise VmmError(f"the saved state is {came}; this labvmm restores {mine}")
    except (ValueError, KeyError, TypeError) as e:
        raise VmmError(f"the preserved memfd has no guest's state: {type(e).__name__}: {e}") from e
    return dict(description)


def restore(description: Mapping[str, Any], ram_fd: int, console: Path) -> Machine:
    """Make the guest again, in a VM of this kernel's; it does not run yet.

    Args:
        description: What `read` returned.
        ram_fd: The memfd of its RAM.
        console: The file of its serial output.

    Returns:
        The machine.
    """
    device = kvm.open_device()
    vm = call(device, kvm.Request.KVM_CREATE_VM, 0)
    count, module = int(description["count"]), _module()
    frame = Frame(console, count, serial=base64.b64decode(description["serial"]))

    def furnish(driver: Driver) -> tuple[Ram, list[int]]:
        ram = memory.mapped(RamKind.MEMFD, ram_fd, os.fstat(ram_fd).st_size)
        memory.attach(vm, ram)
        driver.prepare_vm()
        module.restore_vm(vm, driver, description["state"])
        fds = [call(vm, kvm.Request.KVM_CREATE_VCPU, n) for n in range(count)]
        module.restore_vcpus(vm, driver, fds, description["state"])
        return ram, fds

    return assemble(device, vm, frame, furnish)


def _module() -> ModuleType:
    machine = platform.machine()
    if machine not in MODULES:
        raise VmmError(f"a guest of '{machine}' cannot be saved")
    return importlib.import_module(MODULES[machine], __package__)
