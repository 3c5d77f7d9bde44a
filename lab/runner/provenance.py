# SPDX-License-Identifier: Apache-2.0
"""By what a cell came about: the lab, images and boots of its host, limits, this machine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

from lab.build.kernel import KernelImage
from lab.child_env import child_env
from lab.config.model import Accel, Arch, Cell, Patience, Watch
from lab.config.model import Errata as Setting
from lab.errors import InfraError
from lab.host.blueprint import Blueprint
from lab.record.model import BootRecord, Provenance
from lab.runner.blueprints import cpu_of_hosts
from lab.runner.environment import cpu_model
from lab.runner.image_store import Outfit
from lab.runner.lab_session import LabSession
from lab.runner.result import RanOn
from lab.verify.plain_files import digest_of
from lab.verify.source import source_digest
from lab.virt import errata

Errata = Literal["none", "applied", "left", "failed"]
_ROOT = Path(__file__).resolve().parents[2]


def provenance_of(lab_session: LabSession, ran_on: RanOn, watch: Watch) -> Provenance:
    """Note by what a cell came about.

    Args:
        lab_session: The run that it is of.
        ran_on: Its host.
        watch: How it was watched.

    Returns:
        What stands in its record.

    Raises:
        InfraError: libvirt does not say its version.
        ConfigError: An image that was booted is no file any more.
    """
    blueprint = ran_on.blueprint
    return _noted(
        lab_session,
        watch,
        images=images_of(blueprint, blueprint.through),
        boots=tuple(
            BootRecord(boot_id=b.boot_id, build_id=b.build_id, release=b.release)
            for b in ran_on.boots
        ),
        errata=errata_word(ran_on.errata),
        host_cpu=blueprint.cpu_model or "",
    )


def expected(lab_session: LabSession, cell: Cell) -> Provenance:
    """Return by what a cell would come about, before any host is booted; images are built.

    Args:
        lab_session: The run that it would be of.
        cell: It.

    Returns:
        The same as its record would have; `boots` has the kernels that may be booted.

    Raises:
        LabError: An image cannot be built, or libvirt does not answer.
    """
    lab, request = lab_session.lab, cell.request
    outfit = lab_session.images.outfit(request.kernel, request.arch)
    other = lab.kernel_for(request.through) if request.through else ""
    through = lab_session.images.kernel(other, request.arch) if other else None
    has_them = request.arch is Arch.X86_64 and cell.accel is Accel.TCG
    fixed: Errata = "applied" if lab.libvirt.errata is Setting.APPLY else "left"
    return _noted(
        lab_session,
        lab.watch,
        images=images_of(outfit, through),
        boots=tuple(
            BootRecord(boot_id="", build_id=kernel.build_id, release=kernel.release)
            for kernel in (outfit.kernel, through)
            if kernel is not None
        ),
        errata=fixed if has_them else "none",
        host_cpu=cpu_of_hosts(lab, cell.accel) or "",
    )


def _noted(
    lab_session: LabSession,
    watch: Watch,
    *,
    images: Mapping[str, Path],
    boots: tuple[BootRecord, ...],
    errata: Errata,
    host_cpu: str,
) -> Provenance:
    commit, dirty = lab_commit()
    versions = lab_session.connection.versions()
    return Provenance(
        lab_commit=commit,
        lab_dirty=dirty,
        lab_source=source_digest(),
        images={name: image_digest(path) for name, path in images.items()},
        boots=boots,
        limits=limits_of(watch, lab_session.lab.patience),
        qemu=versions["hypervisor"],
        libvirt=versions["libvirt"],
        errata=errata,
        cpu_model=cpu_model() or "",
        host_cpu=host_cpu,
        l0_kernel=os.uname().release,
    )


def images_of(booted: Blueprint | Outfit, through: KernelImage | None) -> Mapping[str, Path]:
    """Return the files that a host boots, by what they are.

    Args:
        booted: What it is made from.
        through: Another kernel, which it goes to by kexec.
    """
    root, tools = booted.disks
    found = {"kernel": booted.kernel.image, "initrd": booted.initrd, "root": root, "tools": tools}
    return found | ({"through": through.image} if through else {})


def image_digest(path: Path) -> str:
    """Return the SHA-256 of an image; it is read once, as long as it is the same file.

    Args:
        path: The image.

    Raises:
        ConfigError: It is no file.
    """
    now = path.stat()
    return _digest(path.resolve(), now.st_size, now.st_mtime_ns)


@cache
def _digest(path: Path, _size: int, _changed: int) -> str:
    return digest_of(path)


def limits_of(watch: Watch, patience: Patience) -> dict[str, float]:
    """Return all limits of a run by section and key of lab.toml.

    Args:
        watch: [watch].
        patience: [patience].

    Returns:
        Seconds and shares, by "section.key".
    """
    sections = {"watch": watch, "patience": patience}
    return {
        f"{section}.{key}": float(value)
        for section, model in sections.items()
        for key, value in model.model_dump(by_alias=True).items()
    }


def errata_word(told: str) -> Errata:
    """Return what became of QEMU's errors in one word.

    Args:
        told: The same, as a machine says it.
    """
    if not told:
        return "none"
    words: dict[str, Errata] = {errata.TAKEN_OUT: "applied", errata.LEFT_ALONE: "left"}
    return words.get(told, "failed")


@cache
def lab_commit(root: Path = _ROOT) -> tuple[str, bool | None]:
    """Return the commit of the lab's checkout, and whether it has changes.

    Args:
        root: The folder that the lab's package is in.

    Returns:
        ("", None) where it is no checkout of its own: in a wheel, say.
    """
    try:
        if Path(_git(root, "rev-parse", "--show-toplevel")).resolve() != root.resolve():
            return "", None
        commit = _git(root, "rev-parse", "HEAD")
        return commit, bool(_git(root, "status", "--porcelain"))
    except (InfraError, OSError, subprocess.SubprocessError):
        return "", None


def _git(root: Path, *words: str) -> str:
    said = subprocess.run(
        ["git", "--no-optional-locks", "-C", str(root), *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=child_env(),
    )
    if said.returncode:
        raise InfraError(f"git {words[0]} failed: {said.stderr.strip()}")
    return said.stdout.strip()
