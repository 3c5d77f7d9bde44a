# SPDX-License-Identifier: Apache-2.0
"""lab.lock: the very files that are tested, by path and digest, so that no index has to be asked.

`lab lock` writes it, and nothing else does. It names no mirror: paths are those of Debian's pool.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from lab import data
from lab.config.enums import Arch
from lab.config.fields import Model, Text
from lab.config.kernels import Sha256

LAB_LOCK = "lab.lock"

PoolPath = Annotated[str, Field(pattern=r"^pool/[^\s]+\.deb$")]


class Part(StrEnum):
    """What a set of packages is for."""

    KERNEL = "kernel"
    SOURCE = "source"
    ROOTFS = "rootfs"
    PYTHON = "python"


class LockedPackage(Model):
    """One file of Debian's archive."""

    name: Text
    """The package."""
    version: Text
    """Its version."""
    path: PoolPath
    """Where it is on a mirror."""
    size: Annotated[int, Field(strict=True, ge=1)]
    """Its size in bytes."""
    sha256: Sha256
    """Its digest."""

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


class LockedSet(Model):
    """[[debian]]: the packages that one thing is made of."""

    part: Part
    """What they are for: kernel, source, rootfs or python."""
    arch: Arch
    """Of which architecture they are; sources, which are of none, say x86_64."""
    wanted: Annotated[tuple[Text, ...], Field(min_length=1)]
    """The packages that were asked for; the others are what these need."""
    of_version: Text | None = None
    """The version that was asked for: all of it, or "7.3" for the newest 7.3.x; none for any."""
    suites: Annotated[tuple[Text, ...], Field(min_length=1)]
    """The suites that they were looked for in."""
    packages: Annotated[tuple[LockedPackage, ...], Field(min_length=1)]
    """Each file, in the order of names; of a kernel or a source, the first is what was asked for"""

    @property
    def wish(self) -> tuple[object, ...]:
        """What was asked for: two sets of one wish differ by when they were made."""
        return (self.part, self.arch, self.wanted, self.of_version, self.suites)

    @property
    def version(self) -> str:
        """The version of what was asked for."""
        return next(p.version for p in self.packages if p.name == self.wanted[0])


class LockedCommit(Model):
    """[[git]]: the commit that a branch or tag was."""

    url: Text
    """The repository."""
    ref: Text
    """The branch or tag."""
    commit: Annotated[str, Field(pattern="^[0-9a-f]{40}$")]
    """What it was when the lock was made."""


class LockedWheel(Model):
    """[[python]]: one release of a Python package."""

    name: Text
    """Its name on PyPI."""
    version: Text
    """Its version."""
    sha256: Annotated[tuple[Sha256, ...], Field(min_length=1)]
    """Digests of the files of that release which pip chose, for each Python and architecture."""


class Lock(Model):
    """Everything that lab.lock says."""

    format: Literal[1] = 1
    """Of this file."""
    tools: dict[Text, Text] = Field(default_factory=dict)
    """The versions of QEMU and libvirt that the lab ran on when the lock was made. Another one is
    said with the run, and refused nowhere: a distribution has one of each."""
    debian: tuple[LockedSet, ...] = ()
    """Packages of Debian's."""
    git: tuple[LockedCommit, ...] = ()
    """Commits."""
    python: tuple[LockedWheel, ...] = ()
    """What .venv is made of."""

    def find(
        self,
        part: Part,
        arch: Arch,
        wanted: tuple[str, ...],
        suites: tuple[str, ...],
        version: str | None = None,
    ) -> LockedSet | None:
        """Return the set that was locked for a wish.

        Args:
            part: What it is for.
            arch: The architecture.
            wanted: The packages that are asked for.
            suites: Debian's suites.
            version: The version that is asked for; None for any.

        Returns:
            The set; None if the wish was never locked.
        """
        wish = (part, arch, wanted, version, suites)
        return next((one for one in self.debian if one.wish == wish), None)

    def commit_of(self, url: str, ref: str) -> str | None:
        """Return the commit that a name meant when the lock was made.

        Args:
            url: The repository.
            ref: The name.

        Returns:
            The commit, as 40 hex digits; None if it was never locked.
        """
        return next((one.commit for one in self.git if (one.url, one.ref) == (url, ref)), None)


def place_of_lock(toml: Path) -> Path:
    """Return the lab.lock that goes with a lab.toml: beside it, or else the lab's own.

    Args:
        toml: The lab.toml.

    Returns:
        The file; it may be missing.
    """
    beside = toml.parent / LAB_LOCK
    return beside if beside.is_file() else data.ROOT / LAB_LOCK
