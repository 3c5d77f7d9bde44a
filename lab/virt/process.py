# SPDX-License-Identifier: Apache-2.0
"""The process of a machine: libvirt starts each QEMU with `-name guest=MACHINE,...`."""

from __future__ import annotations

from pathlib import Path

PROC = Path("/proc")


def qemu_of(machine: str, proc: Path = PROC) -> Path | None:
    """Find the QEMU of a machine.

    Args:
        machine: libvirt's name of it.
        proc: The proc file system.

    Returns:
        The process' folder in `proc`; None if it is not a process of this machine.
    """
    wanted = f"guest={machine}".encode()
    for process in proc.glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:  # it has just ended
            continue
        if any(argument.split(b",")[0] == wanted for argument in arguments):
            return process
    return None
