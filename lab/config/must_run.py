# SPDX-License-Identifier: Apache-2.0
"""No silent green: the committed list of the cells that must run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import Field

from lab.config.enums import Arch
from lab.config.fields import Model, Text, did_you_mean
from lab.config.load import read
from lab.errors import ConfigError


class MustRun(Model):
    """must-run.toml: per architecture, the ids of the cells that TCG alone must be able to run."""

    x86_64: tuple[Text, ...] = Field(default=())
    arm64: tuple[Text, ...] = Field(default=())

    def ids(self, arch: Arch | None = None) -> tuple[str, ...]:
        """Return the ids for one architecture, or all.

        Args:
            arch: The architecture; None for both.

        Returns:
            The ids, in the order of the file.
        """
        if arch is None:
            return (*self.x86_64, *self.arm64)
        ids: tuple[str, ...] = getattr(self, arch)
        return ids


def load_must_run(path: Path, known: Iterable[str] = ()) -> MustRun:
    """Read must-run.toml.

    Args:
        path: The file.
        known: Ids of all cells under TCG; if there are any, the list must name no others.

    Returns:
        The list.

    Raises:
        ConfigError: As for lab.toml; also for an id under the wrong architecture or named twice.
    """
    must = read(path, MustRun)
    ids = list(known)
    for arch in Arch:
        listed = must.ids(arch)
        for i, name in enumerate(listed, 1):
            _check(f"{path}: {arch}[{i}]", name, arch, listed[: i - 1], ids)
    return must


def _check(where: str, name: str, arch: Arch, before: Sequence[str], known: list[str]) -> None:
    start = f"{arch}-tcg-"
    if not name.startswith(start):
        raise ConfigError(f"{where}: expected an id that starts with {start!r}, got {name!r}")
    if name in before:
        raise ConfigError(f"{where}: {name!r} is listed twice", hint="remove one of the two")
    if known and name not in known:
        hint = did_you_mean(name, known) or "the list and topologies/*.toml must agree"
        raise ConfigError(f"{where}: no topology makes the cell {name!r}", hint=hint)
