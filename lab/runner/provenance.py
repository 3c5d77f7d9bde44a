# SPDX-License-Identifier: Apache-2.0
"""By what a cell came about: the lab, images and boots of its host, limits, this machine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

from lab.child_env import child_env
from lab.config.model import Patience, Watch
from lab.errors import InfraError
from lab.host.blueprint import Blueprint
from lab.record.model import BootRecord, Provenance
from lab.runner.environment import cpu_model
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
    blueprint, (commit, dirty) = ran_on.blueprint, lab_commit()
    versions = lab_session.connection.versions()
    return Provenance(
        lab_commit=commit,
        lab_dirty=dirty,
        lab_source=source_digest(),
        images={name: image_digest(path) for name, path in images_of(blueprint).items()},
        boots=tuple(
            BootRecord(boot_id=b.boot_id, build_id=b.build_id, release=b.release)
            for b in ran_on.boots
        ),
        limits=limits_of(watch, lab_session.lab.patience),
        qemu=versions["hypervisor"],
        libvirt=versions["libvirt"],
        errata=errata_word(ran_on.errata),
        cpu_model=cpu_model() or "",
        host_cpu=blueprint.cpu_model or "",
        l0_kernel=os.uname().release,
    )


def images_of(blueprint: Blueprint) -> Mapping[str, Path]:
    """Return the files that a host boots, by what they are.

    Args:
        blueprint: What it is made from.
    """
    root, tools = blueprint.disks
    found = {
        "kernel": blueprint.kernel.image,
        "initrd": blueprint.initrd,
        "root": root,
        "tools": tools,
    }
    return found | ({"through": blueprint.through.image} if blueprint.through else {})


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
