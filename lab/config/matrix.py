# SPDX-License-Identifier: Apache-2.0
"""From topologies to cells, and from all cells to those of a tier."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from lab.config.model import Accel, Arch, Cell, Grid, GuestKind, HostSpec, LabConfig, Tier, Topology
from lab.config.pairwise import pairwise
from lab.config.topology import Twin
from lab.config.twins import with_twins
from lab.errors import ConfigError

GUEST_MEMORY_MIB = {GuestKind.LINUX: 128, GuestKind.SPINNER: 16, GuestKind.TICKER: 16}

Accels = str | Mapping[Arch, Accel]


def expand(topologies: Sequence[Topology], lab: LabConfig, *, accel: Accels) -> tuple[Cell, ...]:
    """Return every cell of `topologies`: host by host, in the order in which they are written.

    Args:
        topologies: Their grids are multiplied out.
        lab: Has the usual size of hosts, and which kernel stands for which.
        accel: What L1s will run on, probed before; one for all, or one for each architecture.

    Returns:
        The cells.

    Raises:
        ConfigError: Two grids make the same cell; or the twin that a grid names is no cell that is
            to die.
        ValueError: `accel` is AUTO.
    """
    cells: dict[str, Cell] = {}
    made_by: dict[str, str] = {}
    named: dict[str, Twin] = {}
    for topology in topologies:
        for i, grid in enumerate(topology.grids, 1):
            where = f"{topology.name}.toml: cells[{i}]"
            for cell in _all(topology, grid, lab, accel):
                if cell.id in cells:
                    message = f"{where}: cell {cell.id!r} is also made by {made_by[cell.id]}"
                    raise ConfigError(message, hint="take it out of one of the two lists")
                cells[cell.id] = cell
                made_by[cell.id] = where
                if grid.twin:
                    named[cell.id] = _resolved(grid.twin, lab)
    # Booting a host takes longer than many a cell: those of one host are run together.
    places = [(t.name, host) for t in topologies for host in t.hosts]
    ordered = sorted(cells.values(), key=lambda c: places.index((c.topology, c.host)))
    return with_twins(ordered, named, made_by, stock=lab.kernel_for("stock"))


def _resolved(twin: Twin, lab: LabConfig) -> Twin:
    """Return a twin with the kernel that stands for the one it names."""
    kernel = lab.kernel_for(twin.kernel) if twin.kernel else None
    return twin.model_copy(update={"kernel": kernel})


def _all(topology: Topology, grid: Grid, lab: LabConfig, accel: Accels) -> Iterator[Cell]:
    for name in grid.host or topology.hosts:  # without a list there is one host only
        yield from _of_host(name, topology, grid, lab, accel)


def _of_host(
    name: str, topology: Topology, grid: Grid, lab: LabConfig, accel: Accels
) -> Iterator[Cell]:
    host: HostSpec = topology.hosts[name]
    chosen = Accel(accel) if isinstance(accel, str) else accel[host.arch]
    if chosen is Accel.AUTO:
        raise ValueError("a cell's accelerator is a fact: probe for it before expanding")
    dimensions = (grid.kernel or (host.kernel,), grid.guest, grid.vmm, grid.disruption)
    for kernel, guest, vmm, disruption, vcpus, options in product(
        *dimensions, grid.vcpus, grid.options
    ):
        size = topology.guests.get(guest)
        yield Cell(
            request=lab.host_request(
                topology.name, name, host, kernel=lab.kernel_for(kernel), through=options.through
            ),
            accel=chosen,
            guest=guest,
            vmm=vmm,
            disruption=disruption,
            vcpus=vcpus,
            memory_mib=size.memory_mib if size else GUEST_MEMORY_MIB[guest],
            options=options,
            expectation=grid.expect.model_copy(update={"scope": grid.scope}),
            tier=grid.tier,
        )


def dimensions(cell: Cell) -> tuple[tuple[str, str], ...]:
    """Return what a cell combines.

    Args:
        cell: The cell.

    Returns:
        (dimension, value), in the order of its id.
    """
    return (
        ("arch", cell.arch),
        ("accel", cell.accel),
        ("kernel", cell.kernel),
        ("mode", cell.mode),
        ("guest", cell.guest),
        ("vmm", cell.vmm),
        ("disruption", cell.disruption),
        ("vcpus", str(cell.vcpus)),
        ("options", "-".join(cell.options.words)),
    )


def select(cells: Sequence[Cell], tier: Tier) -> tuple[Cell, ...]:
    """Return the cells of a tier, in their order; with each, its twin, whatever tier that is of.

    `ci` is what is marked so; `nightly` adds as many of those marked `nightly` as it takes to
    have every pair of dimension values that occurs among the two; `soak` is all.

    Args:
        cells: All cells.
        tier: The tier.

    Returns:
        Its cells.
    """
    ci = [cell for cell in cells if cell.tier is Tier.CI]
    if tier is Tier.SOAK:
        return tuple(cells)
    chosen = list(ci)
    if tier is Tier.NIGHTLY:
        nightly = [cell for cell in cells if cell.tier is Tier.NIGHTLY]
        rows = pairwise([dimensions(c) for c in nightly], have=[dimensions(c) for c in ci])
        chosen += [nightly[i] for i in rows]
    ids = {name for cell in chosen for name in (cell.id, cell.twin)}
    return tuple(cell for cell in cells if cell.id in ids)
