# SPDX-License-Identifier: Apache-2.0
"""From what is asked of a host to what it is made from: for a run and for a dry run alike; pure."""

from __future__ import annotations

from pathlib import Path

from lab.build.kernel import KernelImage
from lab.config.host_request import HostRequest
from lab.config.model import Accel, LabConfig
from lab.host.blueprint import Blueprint
from lab.runner.image_store import Outfit

# Not models of libvirt's, but all that QEMU or the processor has: modes, which the XML knows.
_WHOLE_CPU = frozenset({"max", "host-passthrough"})


def blueprint_of(
    lab: LabConfig,
    request: HostRequest,
    role: str,
    *,
    run_id: str,
    outfit: Outfit,
    through: KernelImage | None,
    accel: Accel,
    clock: tuple[str, ...],
    folder: Path,
    state: Path,
) -> Blueprint:
    """Return what the host that was asked for is made from.

    Args:
        lab: Says which model its processor is, and how long each kind of wait may take.
        request: What was asked for.
        role: What this machine is called.
        run_id: The run's id.
        outfit: What such a host boots.
        through: The kernel that the request has it go through, if it has.
        accel: What runs it.
        clock: What its kernel is told of its clock.
        folder: The run's folder; the machine's own will be in it.
        state: The lab's state folder.
    """
    return Blueprint(
        run_id=run_id,
        role=role,
        request=request,
        kernel=outfit.kernel,
        through=through,
        initrd=outfit.initrd,
        disks=outfit.disks,
        accel=accel,
        cpu_model=cpu_of_hosts(lab, accel),
        folder=folder / role,
        state=state,
        patience=lab.patience,
        words=(*outfit.words, *clock),
    )


def cpu_of_hosts(lab: LabConfig, accel: Accel) -> str | None:
    """Return the CPU model of hosts.

    Args:
        lab: Says which.
        accel: What runs them.

    Returns:
        A model of libvirt's; None for all that QEMU or the processor has.
    """
    models = lab.host.cpu_model
    model = models.kvm if accel is Accel.KVM else models.tcg
    return None if model in _WHOLE_CPU else model
