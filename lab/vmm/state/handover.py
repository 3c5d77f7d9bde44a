# SPDX-License-Identifier: Apache-2.0
"""What one owner of a guest leaves for the next: a description, and descriptors by name."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ..errors import VmmError
from ..machine.machine import Machine

MAGIC = "labvmm-hand-over"
VERSION = 1
KNOWN_PARTS = frozenset({"vcpus", "journal", "console", "gmem", "pinned-memory"})


class HandOver(NamedTuple):
    """A description that this labvmm understands."""

    vcpus: int
    run_size: int
    ram_base: int
    ram_size: int
    protected: bool
    console: Path
    policy: str


def describe(guest: Machine) -> dict[str, object]:
    """Describe a guest for its next owner.

    Args:
        guest: A guest that can be orphaned.

    Returns:
        The description, all JSON.

    Raises:
        VmmError: The guest would die with this process.
    """
    if not guest.orphanable:
        raise VmmError("this guest dies with its VMM", hint="labvmm run --orphanable")
    memory = "pinned-memory" if guest.protected else "gmem"
    return {
        "magic": MAGIC,
        "version": VERSION,
        "arch": platform.machine(),
        "parts": ["vcpus", "journal", "console", memory, *guest.driver.devices],
        "vcpus": len(guest.vcpus),
        "run_size": len(guest.vcpus[0].run),
        "ram": {"base": guest.ram.base, "size": guest.ram.size},
        "protected": guest.protected,
        "console": str(guest.console),
        "policy": guest.orphanable.policy,
    }


def read(
    description: Mapping[str, object], fds: Mapping[str, int], devices: tuple[str, ...]
) -> HandOver:
    """Parse a description, whole, or refuse it.

    Args:
        description: The keeper's answer.
        fds: The descriptors that came with it, by name.
        devices: The devices that this labvmm has.

    Returns:
        The description.

    Raises:
        VmmError: It is none, of another version or architecture, or has a part that this labvmm
            does not know; or a descriptor is missing.
    """
    if description.get("magic") != MAGIC:
        raise VmmError("the keeper has no hand-over of labvmm's")
    if description.get("version") != VERSION:
        raise VmmError(
            f"the hand-over is of version {description.get('version')}; this labvmm knows {VERSION}"
        )
    if description.get("arch") != platform.machine():
        raise VmmError(f"the guest is for {description.get('arch')}, this is {platform.machine()}")
    try:
        found = _fields(description)
        parts = [str(part) for part in _list(description["parts"])]
    except (KeyError, TypeError, ValueError) as e:
        raise VmmError(f"the hand-over cannot be understood: {type(e).__name__}: {e}") from e
    unknown = sorted(set(parts) - KNOWN_PARTS - set(devices))
    if unknown:
        raise VmmError(f"the guest has parts that this labvmm does not know: {', '.join(unknown)}")
    needed = ["vm", "ram", "state", "console", *(f"vcpu{n}" for n in range(found.vcpus))]
    missing = [name for name in needed if name not in fds]
    if missing:
        raise VmmError(f"the hand-over lacks descriptors: {', '.join(missing)}")
    return found


def _fields(description: Mapping[str, object]) -> HandOver:
    ram = description["ram"]
    if not isinstance(ram, dict):
        raise TypeError("'ram' is no table")
    return HandOver(
        vcpus=int(str(description["vcpus"])),
        run_size=int(str(description["run_size"])),
        ram_base=int(ram["base"]),
        ram_size=int(ram["size"]),
        protected=bool(description["protected"]),
        console=Path(str(description["console"])),
        policy=str(description["policy"]),
    )


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError("'parts' is no list")
    return value
