# SPDX-License-Identifier: Apache-2.0
"""Where a run ran, as one worker saw it; noted beside its cells."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from lab.record.model import AcceleratorRecord, EnvironmentRecord, KernelRecord
from lab.runner.lab_session import LabSession


def environment_of(lab_session: LabSession) -> EnvironmentRecord:
    """Note accelerators and why, kernels, images, versions and load, of what the worker used.

    Args:
        lab_session: The worker's session.

    Returns:
        The record; steal is that since this process began.

    Raises:
        InfraError: libvirt does not answer.
    """
    versions = lab_session.connection.versions()
    return EnvironmentRecord(
        accelerators={
            arch.value: AcceleratorRecord(name=choice.accel.value, why=choice.reason)
            for arch, choice in lab_session.accelerators.items()
        },
        kernels={
            f"{name} {arch.value}": KernelRecord(
                release=image.release,
                build_id=image.build_id,
                digest=image.digest,
                source=image.source,
                config_digest=_digest(image.config),
                compiler=image.compiler,
                make=image.make,
            )
            for (name, arch), image in lab_session.images.kernels.items()
        },
        images={
            f"{part} {arch.value}": path.parent.name
            for (_, arch), outfit in lab_session.images.outfits.items()
            for part, path in zip(("root", "tools"), outfit.disks, strict=True)
        },
        cpu_model=cpu_model(),
        qemu=versions["hypervisor"],
        libvirt=versions["libvirt"],
        l0_kernel=os.uname().release,
        load_1m=os.getloadavg()[0],
        steal_percent=steal_percent(_BEGAN, cpu_times()),
    )


def cpu_times() -> tuple[int, int]:
    """Read how long this machine's processors were stolen, and all of their time.

    Returns:
        Both in clock ticks, over all processors, since boot.

    Source: Documentation/filesystems/proc.rst, "1.7 Miscellaneous kernel statistics in /proc/stat".
    """
    line = Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0]
    ticks = [int(each) for each in line.split()[1:9]]  # user to steal; guest is within user
    return ticks[7], sum(ticks)


_BEGAN = cpu_times()


def steal_percent(before: tuple[int, int], after: tuple[int, int]) -> float | None:
    """Return the share of time that was stolen between two readings.

    Args:
        before: The first reading of `cpu_times`.
        after: The second.

    Returns:
        Percent; None if no time went by.
    """
    stolen, whole = after[0] - before[0], after[1] - before[1]
    return round(100 * stolen / whole, 2) if whole > 0 else None


def _digest(file: Path | None) -> str:
    return f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}" if file else ""


def cpu_model() -> str | None:
    """Read what /proc/cpuinfo calls this machine's processor; None if it does not say."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return None
