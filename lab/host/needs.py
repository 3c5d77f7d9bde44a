# SPDX-License-Identifier: Apache-2.0
"""What a host needs of its CPU model, its memory and its command line; known before it boots; pure.

What is not known is taken to be there: what then goes wrong is the cell's outcome.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from lab.config.enums import Accel, Arch, HostMode

# TCG emulates SVM only, which the domain's XML demands of any model; KVM wants AMD's name with it.
_SVM_VENDORS = frozenset({"AuthenticAMD", "HygonGenuine"})
# As was seen with QEMU's `qemu64`; with `phenom`, which has no XSAVE and no x2APIC, they start.
_NESTED_PAGING = ("npt", "nested paging", "on an emulated host without it guests do not start")
# Property of QEMU's CPU model, what it is, and for what a host needs it.
_MODES: Mapping[HostMode, tuple[tuple[str, str, str], ...]] = {
    HostMode.SWALLOWED: (("x2apic", "x2APIC", "an INIT is intercepted only in its mode"),),
}
_SIZE = re.compile(r"(0x[0-9a-f]+|\d+)([KMGT]?)$", re.IGNORECASE)
_MIB = {"": 1 / (1 << 20), "K": 1 / 1024, "M": 1, "G": 1024, "T": 1 << 20}
_OFF = frozenset({"off", "0", "n", "no", "f", "false"})


def cpu_lacks(
    properties: Mapping[str, object], model: str, arch: Arch, accel: Accel, mode: HostMode
) -> str:
    """Return what a CPU model lacks for a host in a mode.

    Args:
        properties: The model's, by QEMU's names.
        model: Its name.
        arch: The host's architecture.
        accel: What the host runs on.
        mode: The host's mode.

    Returns:
        One sentence; "" if it lacks nothing that is known.
    """
    if arch is not Arch.X86_64:
        return ""
    vendor = properties.get("vendor")
    if accel is Accel.KVM:
        has = properties.get("svm") is not False or properties.get("vmx") is not False
        return (
            "" if has else f"CPU model {model!r} has neither SVM nor VMX, by which KVM runs guests"
        )
    if vendor and vendor not in _SVM_VENDORS:
        return (
            f"CPU model {model!r} is of {vendor}, and TCG emulates only AMD's SVM: "
            "KVM in the host would run no guest"
        )
    missing = [
        f"{what} ({use})"
        for name, what, use in (_NESTED_PAGING, *_MODES.get(mode, ()))
        if properties.get(name) is False
    ]
    return f"CPU model {model!r} has no {', no '.join(missing)}" if missing else ""


def memory_lacks(memory_mib: int, guest_mib: int, cmdline: str) -> str:
    """Return why a host has no room for its guest, by what its command line reserves.

    Args:
        memory_mib: The host's memory, in MiB.
        guest_mib: The guest's, in MiB.
        cmdline: The host's command line.

    Returns:
        One sentence; "" if there is room.
    """
    parts = dict(reserved_mib(cmdline))
    left = memory_mib - sum(parts.values())
    if left >= guest_mib:
        return ""
    said = ", ".join(f"{word} reserves {mib:.0f} MiB" for word, mib in parts.items())
    return (
        f"a host of {memory_mib} MiB has {max(left, 0):.0f} MiB at the most for its kernel and a "
        f"guest of {guest_mib}{f': {said}' if said else ''}"
    )


def reserved_mib(cmdline: str) -> Iterator[tuple[str, float]]:
    """Yield what a command line has the kernel reserve.

    Args:
        cmdline: The command line; of a word that is there twice the last counts.

    Yields:
        The word, and the size in MiB.
    """
    if size := _size(_last(cmdline, "crashkernel")):
        yield "crashkernel", size
    if _is_off(cmdline, "kho"):
        return
    sizes = [_size(part) for part in _last(cmdline, "kho_scratch").split(",")]
    if total := sum(sizes):
        yield "kho_scratch", total


def handover_is_off(cmdline: str) -> str:
    """Return the word by which a command line switches off what hands memory over.

    Args:
        cmdline: The command line.

    Returns:
        The word, as "kho=off"; "" if it is on.
    """
    for key in ("kho", "liveupdate"):
        if _is_off(cmdline, key):
            return f"{key}={_last(cmdline, key)}"
    return ""


def _is_off(cmdline: str, key: str) -> bool:
    return _last(cmdline, key).lower() in _OFF


def _last(cmdline: str, key: str) -> str:
    found = [w.partition("=")[2] for w in cmdline.split() if w.partition("=")[0] == key]
    return found[-1] if found else ""


def _size(text: str) -> float:
    """Return a size as memparse() reads it, in MiB; 0 if it is none."""
    match = _SIZE.match(text.partition("@")[0].partition(",")[0])
    return int(match[1], 0) * _MIB[match[2].upper()] if match else 0.0
