# SPDX-License-Identifier: Apache-2.0
"""Fragments that were written for one kernel, on another: what an older or newer tree has not.

A line whose symbol no Kconfig file of the tree defines is left out, unless an L1 cannot be without
it: the cells that need it are then unavailable, and all others run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lab.build import kconfig
from lab.build.kconfig import Setting

# Without these no L1 boots, or nothing is heard of it. Not named here is what has not changed its
# name since 6.1, and would be in the error beside one of them.
ESSENTIAL = frozenset(
    {
        "BLK_DEV_INITRD", "DEVTMPFS", "INET", "IP_PNP", "KVM", "OVERLAY_FS", "PCI", "PROC_FS",
        "SERIAL_8250_CONSOLE", "SERIAL_AMBA_PL011_CONSOLE", "SQUASHFS", "SYSFS", "TMPFS", "TTY",
        "VIRTIO_BLK", "VIRTIO_NET", "VIRTIO_PCI",
    }
)  # fmt: skip
# What else a symbol depends on in older trees: since 6.6 KEXEC_FILE selects these itself.
_ALSO = {"KEXEC_FILE": ("CRYPTO", "CRYPTO_SHA256")}


@dataclass(frozen=True, slots=True)
class Fit:
    """What becomes of the lines of fragments in a tree.

    Attributes:
        more: Lines to add, that others depend on there.
        left_out: Lines that the tree cannot have.
    """

    more: tuple[Setting, ...]
    left_out: tuple[Setting, ...]


def fit(borrowed: Iterable[Setting], config: str, tree: Path) -> Fit:
    """Compare fragments that were written for another kernel with what a tree made of them.

    Args:
        borrowed: Their lines.
        config: The .config after olddefconfig.
        tree: The source.

    Returns:
        What to add, and what to leave out; nothing if every line survived.
    """
    lost = kconfig.lost(borrowed, config)
    if not lost:
        return Fit((), ())
    unknown = kconfig.undefined({each.symbol for each in lost}, tree)
    also = [
        name for each in lost if each.symbol not in unknown for name in _ALSO.get(each.symbol, ())
    ]
    return Fit(
        tuple(Setting(name, "y", "lab") for name in dict.fromkeys(also)),
        tuple(s for s in lost if s.symbol in unknown - ESSENTIAL and s.value != "n"),
    )


def told(left_out: Iterable[Setting]) -> str:
    """Return a line on what a tree cannot have.

    Args:
        left_out: The lines that were left out; at least one.

    Returns:
        The line.
    """
    names = ", ".join(f"CONFIG_{each.symbol}" for each in left_out)
    return f"this tree has no {names}: cells that need one of them are unavailable"
