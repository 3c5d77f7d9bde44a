# SPDX-License-Identifier: Apache-2.0
"""The QEMU and libvirt of this machine, and whether they are those that the lock was made on."""

from __future__ import annotations

import re

from lab.arch import native
from lab.build.commands import output
from lab.config.lock import LAB_LOCK, Lock
from lab.errors import LabError

QEMU, LIBVIRT = "QEMU", "libvirt"


def versions() -> dict[str, str]:
    """Return the versions of this machine's QEMU and libvirt.

    Returns:
        The versions by name; without one that is not installed or does not say.
    """
    found: dict[str, str] = {}
    for name, program in ((QEMU, f"qemu-system-{native().qemu}"), (LIBVIRT, "virsh")):
        try:
            said = output([program, "--version"], doing=f"asking {name} for its version")
        except (LabError, OSError):
            continue
        if number := re.search(r"\d+(\.\d+)+", said):
            found[name] = number[0]
    return found


def other_than_locked(lock: Lock | None) -> str:
    """Return what a reader of a run has to know of this machine's tools.

    Args:
        lock: The lock that the run takes its kernels from; None for none.

    Returns:
        A sentence; "" if they are as when the lock was made, or that is not known.
    """
    if lock is None or not lock.tools:
        return ""
    here = versions()
    others = [
        f"{name} {here[name]} (locked: {version})"
        for name, version in lock.tools.items()
        if name in here and here[name] != version
    ]
    return f"not the tools that {LAB_LOCK} was made on: {', '.join(others)}" if others else ""
