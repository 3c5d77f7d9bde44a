# SPDX-License-Identifier: Apache-2.0
"""Where what is built comes from: which files the lock names, and which mirrors have them."""

from __future__ import annotations

from dataclasses import dataclass

from lab.arch import Arch
from lab.config.lock import LAB_LOCK, Lock, LockedSet, Part
from lab.config.model import LabConfig
from lab.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Supply:
    """The lock, and the mirrors.

    Attributes:
        mirrors: URLs of Debian mirrors that lab.toml names; none for those of this machine's apt.
        lock: What lab.lock says; None if there is none, and what is newest now is taken.
    """

    mirrors: tuple[str, ...] = ()
    lock: Lock | None = None

    @classmethod
    def of(cls, lab: LabConfig) -> Supply:
        """Return the supply of a lab.

        Args:
            lab: What lab.toml says, with the lock that goes with it.

        Returns:
            The supply.
        """
        return cls(tuple(url.rstrip("/") for url in lab.mirror or ()), lab.lock)

    def packages(
        self,
        part: Part,
        arch: Arch,
        wanted: tuple[str, ...],
        suites: tuple[str, ...],
        version: str | None = None,
        *,
        whose: str,
    ) -> LockedSet | None:
        """Return the packages that the lock has for a wish.

        Args:
            part: What they are for.
            arch: The architecture.
            wanted: The packages that are asked for.
            suites: Debian's suites.
            version: The version that is asked for; None for any.
            whose: What they are for, as a phrase: "kernel debian".

        Returns:
            The packages; None if there is no lock, or if the wish names one version by all of it
            and was never locked: then nothing else can come.

        Raises:
            ConfigError: There is a lock without them, and what is newest may be another tomorrow.
        """
        if self.lock is None:
            return None
        found = self.lock.find(part, arch, wanted, suites, version)
        if found is None and (version is None or "-" not in version):
            said = wanted[0] if len(wanted) == 1 else f"all of {', '.join(wanted)}"
            raise ConfigError(
                f"{LAB_LOCK}: debian: nothing there for {whose} for {arch}: {said}"
                f"{f' {version}' if version else ''} of {', '.join(suites)}",
                hint="type: lab lock (it adds what is missing, and leaves the rest as it is)",
            )
        return found

    def locked(
        self,
        part: Part,
        arch: Arch,
        wanted: tuple[str, ...],
        suites: tuple[str, ...],
        *,
        whose: str,
    ) -> LockedSet:
        """Return the packages that the lock has for what is made of locked packages only.

        Args:
            part: What they are for.
            arch: The architecture.
            wanted: The packages that are asked for.
            suites: Debian's suites.
            whose: What they are for, as a phrase.

        Returns:
            The packages.

        Raises:
            ConfigError: There is no lock, or it is without them.
        """
        found = self.packages(part, arch, wanted, suites, whose=whose)
        if found is None:
            raise ConfigError(
                f"{LAB_LOCK}: no such file; {whose} is made of what it names", hint="type: lab lock"
            )
        return found

    def commit_of(self, url: str, ref: str, *, whose: str) -> str | None:
        """Return the commit that the lock has for a name.

        Args:
            url: The repository.
            ref: The branch, tag or commit.
            whose: What it is for, as a phrase.

        Returns:
            The commit; None if there is no lock, or `ref` is a commit itself.

        Raises:
            ConfigError: There is a lock without it.
        """
        if self.lock is None or len(ref) == 40:  # noqa: PLR2004 - digits of a commit
            return None
        found = self.lock.commit_of(url, ref)
        if found is None:
            raise ConfigError(
                f"{LAB_LOCK}: git: nothing there for {whose}: {ref!r} of {url!r}",
                hint="type: lab lock (it adds what is missing, and leaves the rest as it is)",
            )
        return found
