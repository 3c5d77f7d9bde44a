# SPDX-License-Identifier: Apache-2.0
"""Which cell one `lab run` is for: one of the topologies by its id, or one of options."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path

import typer

from lab.cli.cell_search import cell_named
from lab.cli.run_options import BESIDE_AN_ID, RunOptions, option
from lab.cli.settings import Settings
from lab.config.close_ids import cell_of_id
from lab.config.load import with_overrides
from lab.config.model import Accel, Cell, LabConfig
from lab.config.twins import needs_twin
from lab.errors import ConfigError
from lab.record.rerun import rerun_command, toml_option
from lab.resources.ledger import state_dir
from lab.virt.probe import likely_accelerators


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The cell of one `lab run`.

    Attributes:
        lab: lab.toml with the overrides of the command line, and of the id.
        cell: With the accelerator that is likely; the probe may find another one.
        named: Whether it was named by its id.
        found_in: The topology that has to be named with its id; None where it is found anyway.
    """

    settings: Settings
    options: RunOptions
    lab: LabConfig
    cell: Cell
    named: bool
    found_in: Path | None = None

    def rerun(self, cell: Cell) -> str:
        """Return the command that runs the cell again.

        Args:
            cell: The cell of this target, with the accelerator that was probed.

        Returns:
            `lab run CELL_ID` where a topology has the same cell on the same host with the same
            expectation; else the options again.
        """
        toml, options = self.settings.path, self.options
        if self.named:
            words = replace(options, topology=self.found_in).words(*BESIDE_AN_ID)
            return rerun_command(cell.id, toml=toml, options=words)
        if self._in_a_topology(cell) is not None:
            return rerun_command(cell.id, toml=toml, options=options.words("lab_kernel"))
        return shlex.join(["lab", *toml_option(toml), "run", *options.words()])

    def uncontrolled(self, cell: Cell) -> str:
        """Return what a survival of the cell lacks, which is run without its control.

        Args:
            cell: The cell of this target, with the accelerator that was probed.

        Returns:
            A sentence with its control's id; "" for a cell that needs none.
        """
        if not needs_twin(cell):
            return ""
        same = cell if self.named else self._in_a_topology(cell)
        twin = same.twin if same else ""
        told = f"its control is {twin}" if twin else "no cell of the topologies is its control"
        return f"a survival here is uncontrolled: {told}; 'pytest topologies' runs both"

    def _in_a_topology(self, cell: Cell) -> Cell | None:
        """Return this very cell as a topology has it; topologies with mistakes have none."""
        try:
            same = cell_of_id(cell.id, self.settings.cells(self.lab, cell.accel))
        except ConfigError:
            return None
        host = replace(cell.request, topology=same.topology, role=same.host)
        copy = {"request": host, "tier": same.tier, "twin": same.twin}
        return same if same == cell.model_copy(update=copy) else None


def target_of(ctx: typer.Context, cell_id: str, options: RunOptions) -> Target:
    """Return what to run.

    Args:
        ctx: The command line; its object is the `Settings`.
        cell_id: An id of a cell of any tier; "" for a cell of options.
        options: The options, typed or at their defaults.

    Raises:
        ConfigError: No cell has that id; an id and dimensions are given together, or neither; or
            lab.toml, a topology or the options are wrong.
    """
    settings: Settings = ctx.obj
    lab = with_overrides(settings.lab(), kernel_tree=options.lab_kernel, accelerator=options.accel)
    if not cell_id:
        likely = likely_accelerators(state_dir(lab.state), lab.host.accelerator)
        cell = options.cell(lab, accel=likely[options.arch])
        return Target(settings=settings, options=options, lab=lab, cell=cell, named=False)
    _insist_alone(ctx, cell_id)
    cell, found_in = _named(settings, lab, cell_id, options)
    if options.expect is not None:
        cell = cell.model_copy(update={"expectation": options.expect.of(cell.scope)})
    return Target(
        settings=settings,
        options=options,
        lab=with_overrides(lab, accelerator=cell.accel),
        cell=cell,
        named=True,
        found_in=found_in,
    )


def _insist_alone(ctx: typer.Context, cell_id: str) -> None:
    """Require that no dimension was typed beside an id, not even with its default."""
    typed = []
    for name in RunOptions.__dataclass_fields__:
        source = ctx.get_parameter_source(name)
        if name not in BESIDE_AN_ID and source is not None and source.name == "COMMANDLINE":
            typed.append(option(name))
    if typed:
        allowed = [option(name) for name in (*BESIDE_AN_ID, "reports", "dry_run", "json")]
        raise ConfigError(
            f"lab run: {cell_id} says everything about its cell, and {', '.join(typed)} too",
            hint=f"leave out one or the other; an id takes only {', '.join(allowed)}",
        )


def _named(
    settings: Settings, lab: LabConfig, cell_id: str, options: RunOptions
) -> tuple[Cell, Path | None]:
    """Return the cell of that id, which also says what its host runs on, and where it is."""
    accel = options.accel
    if "-selftest-" in cell_id:
        raise ConfigError(
            f"lab run: {cell_id} is a suite of selftests, and no cell of a topology",
            hint="type: lab selftest SUITE --kernel=NAME",
        )
    says = next((a for a in (Accel.KVM, Accel.TCG) if f"-{a.value}-" in cell_id), None)
    if says and accel not in {None, Accel.AUTO, says}:
        raise ConfigError(
            f"lab run: {cell_id} names accelerator {says.value}, and --accel (or LAB_ACCEL) "
            f"{accel.value if accel else ''}",
            hint="leave out --accel, or take the id of the other cell",
        )
    try:
        wanted = says or lab.host.accelerator
        return cell_named(settings, lab, cell_id, wanted, options.topology)
    except ConfigError as e:
        raise ConfigError(f"lab run: {Exception.__str__(e)}", hint=e.hint) from e
