# SPDX-License-Identifier: Apache-2.0
"""What an L1 is made from, and the machine that libvirt makes of it; pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lab.build.kernel import KernelImage
from lab.config.host_request import HostRequest
from lab.config.model import Accel, Patience
from lab.host.cmdline import host_cmdline
from lab.host.modes import BY_MODE
from lab.resources.owner import Owner
from lab.resources.ports import mac_for
from lab.resources.run_folders import QemuUser
from lab.virt.xml import DomainSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Blueprint:
    """Everything that an L1 is made from.

    Attributes:
        run_id: The run's id.
        role: What this very machine is called: a request's role and a number, where it is one of
            several.
        request: What was asked for.
        kernel: What it boots.
        initrd: The initramfs that it boots with, without the secrets of the run.
        disks: Its root file system, and its tools.
        accel: What runs it.
        cpu_model: A model of libvirt's; None for all that QEMU or the processor has.
        folder: Its own on L0, for console and seed.
        state: The lab's state folder.
        patience: How long each kind of wait may take.
        words: More words for its kernel's command line.
        through: Another kernel, which it goes to by kexec.
    """

    run_id: str
    role: str
    request: HostRequest
    kernel: KernelImage
    initrd: Path
    disks: tuple[Path, ...]
    accel: Accel
    cpu_model: str | None
    folder: Path
    state: Path
    patience: Patience
    words: tuple[str, ...] = ()
    through: KernelImage | None = None

    @property
    def name(self) -> str:
        """What libvirt calls it."""
        return f"lab-{self.run_id}-{self.role}"

    @property
    def all_words(self) -> tuple[str, ...]:
        """What its command line says beyond the usual: its mode, then `words`."""
        return (*BY_MODE[self.request.arch, self.request.mode].words, *self.words)


def domain_spec(
    blueprint: Blueprint, *, port: int, nonce: str, initrd: Path, user: QemuUser | None
) -> DomainSpec:
    """Return the machine that libvirt makes of a blueprint; pure.

    Args:
        blueprint: What it is made from.
        port: The port of 127.0.0.1 that passt forwards to its port 22.
        nonce: The word on its command line that tells this boot from any other.
        initrd: The blueprint's initramfs, with the secrets of the run.
        user: The user that QEMU runs as; None leaves it to libvirt.

    Returns:
        The specification, of which `lab.virt.xml` makes the domain's XML.
    """
    request = blueprint.request
    return DomainSpec(
        name=blueprint.name,
        run_id=blueprint.run_id,
        owner=Owner.me(),
        role=blueprint.role,
        request=request,
        accel=blueprint.accel,
        kernel=blueprint.kernel.image,
        initrd=initrd,
        cmdline=host_cmdline(request.arch, nonce=nonce, extra=blueprint.all_words),
        console=blueprint.folder / "console.log",
        disks=blueprint.disks,
        ssh_port=port,
        mac=mac_for(blueprint.run_id, blueprint.role),
        cpu_model=blueprint.cpu_model,
        user=user,
        # QEMU would stop the machine at a panic, and a crash kernel could not start.
        panic_device=False,
        debug=blueprint.folder / "debug.log" if request.arch.traits.debug_port else None,
    )
