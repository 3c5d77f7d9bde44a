# SPDX-License-Identifier: Apache-2.0
"""What a VMM has to load for each kind of guest: paths on the tools disk of L1."""

from __future__ import annotations

from dataclasses import dataclass

from lab.config.model import Arch, GuestKind
from lab.guest.guest import GuestPlan
from lab.host.cmdline import guest_cmdline


@dataclass(frozen=True, slots=True)
class Payload:
    """What a VMM loads.

    Attributes:
        kernel: Path in L1 of the kernel, or of the bare payload.
        initrd: Path in L1 of the initramfs; None for a bare payload, which has none.
        cmdline: The kernel's command line, with the beacon's canary and key.
    """

    kernel: str
    initrd: str | None
    cmdline: str


def payload_for(arch: Arch, plan: GuestPlan) -> Payload:
    """Return what a guest is booted from.

    Args:
        arch: The architecture of its host, which is its own.
        plan: What it is started with.

    Returns:
        Paths on the tools disk of L1, and the command line.
    """
    cmdline = guest_cmdline(
        arch, plan.kind, canary=plan.canary, key=plan.key, vcpus=plan.vcpus, extra=plan.words
    )
    if plan.kind is GuestKind.LINUX:
        return Payload(f"/lab/{arch.traits.guest_kernel}", "/lab/l2-initrd.cpio.gz", cmdline)
    return Payload(f"/lab/{plan.kind.value}{arch.traits.payload_suffix}", None, cmdline)
