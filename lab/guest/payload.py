# SPDX-License-Identifier: Apache-2.0
"""What a VMM has to load for each kind of guest: paths on the tools disk of L1."""

from __future__ import annotations

from dataclasses import dataclass

from lab.config.model import Arch, GuestKind
from lab.guest.guest import GuestPlan
from lab.host.cmdline import guest_cmdline


@dataclass(frozen=True, slots=True)
class Payload:
    """Kernel, initramfs if any, and command line."""

    kernel: str
    initrd: str | None
    cmdline: str


def payload_for(arch: Arch, plan: GuestPlan) -> Payload:
    """Give what `plan` boots."""
    cmdline = guest_cmdline(
        arch, plan.kind, canary=plan.canary, key=plan.key, vcpus=plan.vcpus, extra=plan.words
    )
    if plan.kind is GuestKind.LINUX:
        return Payload(f"/lab/{arch.traits.guest_kernel}", "/lab/l2-initrd.cpio.gz", cmdline)
    return Payload(f"/lab/{plan.kind.value}{arch.traits.payload_suffix}", None, cmdline)
