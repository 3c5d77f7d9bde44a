# SPDX-License-Identifier: Apache-2.0
"""What every command needs to know first: which lab.toml, which topologies, which recipes."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from lab.config.fields import did_you_mean
from lab.config.load import MUST_RUN, load_lab, load_topologies, load_topology, usual_toml
from lab.config.matrix import expand
from lab.config.model import Accel, Cell, LabConfig, Topology
from lab.config.topology_folders import usual_topologies
from lab.errors import ConfigError
from lab.resources.ledger import state_dir
from lab.virt.probe import likely_accelerators

DEFAULT_TOPOLOGIES = ("x86_64-one-host", "arm64-modes")

# A pipe or a log has no width: better long lines than words cut in pieces.
_WIDE = 160
out = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)
err = Console(stderr=True, highlight=False)


@dataclass(frozen=True, slots=True)
class Settings:
    """The global options of one command line."""

    toml: Path | None = None
    debug: bool = False

    @property
    def path(self) -> Path:
        """The lab.toml that counts: the one that was named, the one here, or the lab's own."""
        return self.toml if self.toml is not None else usual_toml()

    @property
    def topologies(self) -> Path:
        """The folder of topologies beside lab.toml, or the lab's own."""
        return usual_topologies(self.path)

    def lab(self) -> LabConfig:
        """Read lab.toml.

        Raises:
            ConfigError: Something in it is wrong.
        """
        return load_lab(self.path)

    def cells(self, lab: LabConfig, wanted: Accel) -> tuple[Cell, ...]:
        """Return every cell of every topology, of all tiers; nothing is probed.

        Args:
            lab: What lab.toml says, with the overrides of the command line.
            wanted: The accelerator that the ids name; for 'auto', the last probe's result.

        Raises:
            ConfigError: Something in a topology is wrong.
        """
        accels = likely_accelerators(state_dir(lab.state), wanted)
        return expand(load_topologies(self.topologies, lab), lab, accel=accels)

    def topology(self, name: str, lab: LabConfig) -> Topology:
        """Read one topology.

        Args:
            name: Its name, or a path that ends in ".toml" or has a "/".
            lab: Whose kernels it may name.

        Raises:
            ConfigError: There is none, or something in it is wrong.
        """
        if name.endswith(".toml") or "/" in name:
            return load_topology(Path(name), lab)
        path = self.topologies / f"{name}.toml"
        if not path.is_file():
            known = sorted(p.stem for p in self.topologies.glob("*.toml") if p.name != MUST_RUN)
            hint = did_you_mean(name, known) or f"there are: {', '.join(known) or 'none'}"
            raise ConfigError(f"no topology {name!r} in {self.topologies}", hint=hint)
        return load_topology(path, lab)
