# SPDX-License-Identifier: Apache-2.0
"""The floor below the plan of a run: the cells that topologies must make, and the tests beside.

What a run has to judge is derived from the topologies. So a file of theirs that is gone, a grid
that lost a word, or a module of tests that was not installed would be missed by nobody: these are
named in must-run.toml, once, and the plan is compared with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import Field

from lab.config.enums import Accel, Arch, Tier
from lab.config.fields import Model, Text, did_you_mean
from lab.config.load import read
from lab.config.model import LabConfig
from lab.config.topology import Cell
from lab.errors import ConfigError


class Floor(Model):
    """Ids of cells as they are under TCG with the kernels' own names, by architecture."""

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


class MustRun(Floor):
    """must-run.toml: cells of tier ci; those of the tiers above it; the modules of tests beside."""

    nightly: Floor = Floor()
    soak: Floor = Floor()
    beside: tuple[Text, ...] = ()

    def of(self, tier: Tier) -> Floor:
        """Return the part that is marked for a tier.

        Args:
            tier: The tier.

        Returns:
            Its ids; for ci, the lists at the top of the file.
        """
        return {Tier.CI: self, Tier.NIGHTLY: self.nightly, Tier.SOAK: self.soak}[tier]


def load_must_run(path: Path, known: Iterable[str] = ()) -> MustRun:
    """Read must-run.toml.

    Args:
        path: The file.
        known: Ids of all cells under TCG; if there are any, the lists must name no others.

    Returns:
        The lists.

    Raises:
        ConfigError: As for lab.toml; also for an id under the wrong architecture or named twice.
    """
    must = read(path, MustRun)
    ids = list(known)
    before: list[str] = []
    for tier in Tier:
        section = "" if tier is Tier.CI else f"{tier}."
        for arch in Arch:
            for i, name in enumerate(must.of(tier).ids(arch), 1):
                _check(f"{path}: {section}{arch}[{i}]", name, arch, before, ids)
                before.append(name)
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


def fallen(
    must: MustRun,
    cells: Sequence[Cell],
    tier: Tier,
    *,
    lab: LabConfig,
    accels: Mapping[Arch, Accel],
) -> dict[str, str]:
    """Return the cells that are below the floor: what a topology no longer makes, or runs less.

    Args:
        must: The floor.
        cells: Every cell of the topologies, of all tiers.
        tier: The tier of the run.
        lab: Which kernel stands for which: ids follow it.
        accels: What hosts run on: ids follow it, too.

    Returns:
        Ids as they would be here, and why each is missed.
    """
    tiers = list(Tier)
    made = {cell.id: cell.tier for cell in cells}
    found = {}
    for marked in tiers[: tiers.index(tier) + 1]:
        for arch in Arch:
            for name in must.of(marked).ids(arch):
                here = id_here(name, accels[arch], lab)
                if here not in made:
                    found[here] = "no topology makes it any more, and must-run.toml names it"
                elif tiers.index(made[here]) > tiers.index(marked):
                    found[here] = f"it is of tier {made[here]}, and must-run.toml says {marked}"
    return found


def id_here(name: str, accel: Accel, lab: LabConfig) -> str:
    """Return the id of a cell here: on this accelerator, with the kernel that stands for its own.

    In an id each `-` of a name is a `_`.

    Args:
        name: The id under TCG, with the kernel's own name.
        accel: What hosts of its architecture run on.
        lab: Which kernel stands for which.

    Returns:
        The id.
    """
    arch, _, kernel, *rest = name.split("-")
    own = next((each for each in lab.kernel if each.replace("-", "_") == kernel), kernel)
    return "-".join([arch, accel.value, lab.kernel_for(own).replace("-", "_"), *rest])
