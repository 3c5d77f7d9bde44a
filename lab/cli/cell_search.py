# SPDX-License-Identifier: Apache-2.0
"""Where `lab run CELL_ID` finds its cell: in the topology that is named, or where pytest would."""

from __future__ import annotations

from pathlib import Path

from lab.cli.settings import Settings
from lab.config.close_ids import cell_of_id
from lab.config.load import load_topologies
from lab.config.matrix import expand
from lab.config.model import Accel, Cell, LabConfig
from lab.config.topology_folders import folders_of_pytest
from lab.errors import ConfigError
from lab.resources.ledger import state_dir
from lab.virt.probe import likely_accelerators


def cell_named(
    settings: Settings, lab: LabConfig, cell_id: str, wanted: Accel, topology: Path | None
) -> tuple[Cell, Path | None]:
    """Return the cell of an id, and the topology that has to be named for it to be found again.

    Args:
        settings: Says where the usual topologies are.
        lab: lab.toml, as the command line overrides it.
        cell_id: The id.
        wanted: The accelerator that the ids name.
        topology: The file, or the folder, to look in; None for the usual topologies, then for
            those beside tests that pytest would collect here.

    Returns:
        The cell; and what was named, or the file that it was found in beside tests, else None.

    Raises:
        ConfigError: no topology has it; two suites have it; or a topology is wrong.
    """
    if topology is not None:
        return cell_of_id(cell_id, _cells(settings, topology, lab, wanted)), topology
    usual = settings.cells(lab, wanted)
    try:
        return cell_of_id(cell_id, usual), None
    except ConfigError:
        beside = [f for f in folders_of_pytest(Path.cwd()) if f != settings.topologies]
        others = {f: _cells(settings, f, lab, wanted) for f in beside}
        name = cell_id.partition("#")[0]
        found = [f / f"{c.topology}.toml" for f, cells in others.items()
                 for c in cells if c.id == name]  # fmt: skip
        if len(found) > 1:
            raise ConfigError(
                f"{cell_id} is in {' and in '.join(str(path) for path in found)}",
                hint=f"name one: --topology={found[0]}",
            ) from None
        cells = (*usual, *(cell for each in others.values() for cell in each))
        return cell_of_id(cell_id, cells), next(iter(found), None)


def _cells(settings: Settings, place: Path, lab: LabConfig, wanted: Accel) -> tuple[Cell, ...]:
    accels = likely_accelerators(state_dir(lab.state), wanted)
    if place.is_dir():
        topologies = load_topologies(place, lab)
    else:
        topologies = (settings.topology(str(place), lab),)
    return expand(topologies, lab, accel=accels)
