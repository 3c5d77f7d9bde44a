# SPDX-License-Identifier: Apache-2.0
"""By what a cell came about: lab, images, boots, limits, and the machine below."""

from __future__ import annotations

from typing import Literal

from lab.record.parts import Part


class BootRecord(Part):
    """One boot of the host's kernel, as the running kernel told of itself."""

    boot_id: str
    """/proc/sys/kernel/random/boot_id."""
    build_id: str
    """The GNU build id in /sys/kernel/notes."""
    release: str
    """What `uname -r` says."""


class Provenance(Part):
    """By what a cell came about: what is not noted here was not the same in another run."""

    lab_commit: str = ""
    """The commit of the lab's checkout; "" where it is none."""
    lab_dirty: bool | None = None
    """Whether that checkout had changes; null where it is none."""
    lab_source: str
    """SHA-256 over the Python files of the lab."""
    images: dict[str, str]
    """SHA-256 of the files that the host booted: kernel, initrd, root, tools, and the kernel that
    it went through."""
    boots: tuple[BootRecord, ...]
    """Each boot of the host during the cell, the one that it began in first."""
    limits: dict[str, float]
    """[watch] and [patience] of lab.toml, as "watch.patience_s"."""
    qemu: str
    """QEMU, by version."""
    libvirt: str
    """libvirt, by version."""
    errata: Literal["none", "applied", "left", "failed"]
    """What became of QEMU's errors: it has none here, they were patched, were left as lab.toml
    says, or could not be patched."""
    cpu_model: str
    """L0's processor."""
    host_cpu: str
    """The CPU model of the host; "" for all that QEMU or the processor has."""
    l0_kernel: str
    """L0's kernel, by release."""
