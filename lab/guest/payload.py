# SPDX-License-Identifier: Apache-2.0
"""What a VMM has to load for each kind of guest: paths on the tools disk of L1."""

from __future__ import annotations

from dataclasses import dataclass

from lab.config.model import Arch, GuestKind
from lab.guest.guest import GuestPlan
from lab.host.cmdline import guest_cmdline

# What guests boot: by a PVH note on x86-64, as Linux's Image on arm64.
_LINUX = {Arch.X86_64: "/lab/vmlinux", Arch.ARM64: "/lab/guest-Image"}
_SUFFIX = {Arch.X86_64: ".elf", Arch.ARM64: ".img"}


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
        return Payload(_LINUX[arch], "/lab/l2-initrd.cpio.gz", cmdline)
    return Payload(f"/lab/{plan.kind.value}{_SUFFIX[arch]}", None, cmdline)
