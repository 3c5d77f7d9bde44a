# SPDX-License-Identifier: Apache-2.0
"""The options of `lab run` that say which cell: one frozen table, and the cell made of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lab.cli.paths import at_home
from lab.config.cell_request import CellRequest
from lab.config.model import (
    Accel,
    Arch,
    Cell,
    Confidential,
    Dies,
    DisruptionKind,
    Expectation,
    GuestKind,
    HostMode,
    KexecLoad,
    LabConfig,
    MemoryKind,
    Options,
    Orphaning,
    OrphanPolicy,
    Parks,
    Scope,
    Survives,
    VmmKind,
)
from lab.errors import ConfigError

_OF_A_KEXEC = "For kexec: "

# These go together with a CELL_ID: they leave the cell itself as its topology has it.
BESIDE_AN_ID = ("topology", "lab_kernel", "accel", "expect")


class Expect(StrEnum):
    """What the guest has to do for the exit status to be 0."""

    SURVIVES = "survives"
    DIES = "dies"
    PARKS = "parks"

    def of(self, scope: Scope) -> Expectation:
        """Return it as a topology has it.

        Args:
            scope: What is judged.
        """
        match self:
            case Expect.SURVIVES:
                return Survives(scope=scope)
            case Expect.DIES:
                return Dies(scope=scope)
            case Expect.PARKS:
                return Parks(scope=scope)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """A cell by its dimensions, and four options that may go together with a CELL_ID, too."""

    disruption: Annotated[
        DisruptionKind | None,
        typer.Option("--disruption", "-d", help="What is done; without a CELL_ID, required."),
    ] = None
    arch: Annotated[Arch, typer.Option(help="Of L1 and L2.")] = Arch.X86_64
    kernel: Annotated[str, typer.Option(help="L1's kernel: [kernel.NAME] of lab.toml.")] = "stock"
    lab_kernel: Annotated[
        Path | None,
        typer.Option(
            envvar="LAB_KERNEL", callback=at_home, help="A source tree to test in place of 'stock'."
        ),
    ] = None
    mode: Annotated[
        HostMode | None,
        typer.Option(help="Of L1: vhe, nvhe, protected or nested on arm64, swallowed on x86-64."),
    ] = None
    accel: Annotated[
        Accel | None, typer.Option(envvar="LAB_ACCEL", help="What L1 runs on, if not lab.toml's.")
    ] = None
    guest: Annotated[GuestKind, typer.Option(help="What runs as L2.")] = GuestKind.LINUX
    vmm: Annotated[VmmKind, typer.Option(help="What runs L2.")] = VmmKind.QEMU
    vcpus: Annotated[int, typer.Option(min=1, help="Of the guest.")] = 1
    orphaning: Annotated[
        Orphaning | None,
        typer.Option(help="The kernel interface by which a guest of labvmm may outlive it."),
    ] = None
    policy: Annotated[
        OrphanPolicy,
        typer.Option(help="With --orphaning: what vCPUs do when their VMM dies."),
    ] = OrphanPolicy.RUN
    kexecs: Annotated[
        int, typer.Option(min=1, help=f"{_OF_A_KEXEC}how many, one after the other.")
    ] = 1
    through: Annotated[
        str | None, typer.Option(help=f"{_OF_A_KEXEC}a kernel that every other one is into.")
    ] = None
    load: Annotated[
        KexecLoad, typer.Option(help=f"{_OF_A_KEXEC}the system call that loads the kernel.")
    ] = KexecLoad.FILE_LOAD
    memory: Annotated[
        MemoryKind | None, typer.Option(help="Judge the guest's memory, preserved in this.")
    ] = None
    scope: Annotated[
        Scope | None,
        typer.Option(help="What is judged; memory with --memory, else running."),
    ] = None
    stop_ms: Annotated[
        int | None, typer.Option(min=1, help="For vcpu-stop: how long; 250 if not given.")
    ] = None
    confidential: Annotated[
        Confidential | None, typer.Option(help="What hides the guest's memory from its host.")
    ] = None
    chaos: Annotated[
        bool, typer.Option("--chaos", help="Guest and host are busy; the moment is random.")
    ] = False
    expect: Annotated[
        Expect | None,
        typer.Option(help="What is good, if not what the cell's topology says; else survives."),
    ] = None
    topology: Annotated[
        Path | None,
        typer.Option(
            callback=at_home, help="The topology that has the CELL_ID, or a folder of such files."
        ),
    ] = None

    def words(self, *names: str) -> tuple[str, ...]:
        """Return options as one types them, without those that are at their default.

        Args:
            names: The fields to return; all, if none is named.
        """
        told = (
            (f.name, getattr(self, f.name), f.default)
            for f in fields(self)
            if not names or f.name in names
        )
        return tuple(
            option(name) if value is True else f"{option(name)}={value}"
            for name, value, default in told
            if value != default
        )

    def cell(self, lab: LabConfig, *, accel: Accel) -> Cell:
        """Return the cell that they describe, on a host with lab.toml's sizes.

        Args:
            lab: Its kernels, and the sizes of hosts.
            accel: What the host runs on: 'kvm' or 'tcg'.

        Raises:
            ConfigError: `disruption` is missing, a `topology` is named, lab.toml has no such
                kernel, or the options exclude each other.
        """
        if self.topology is not None:
            raise ConfigError(
                f"lab run: --topology={self.topology} was given without a CELL_ID",
                hint="to list its ids: pytest --collect-only in the folder of its tests",
            )
        if self.disruption is None:
            raise ConfigError(
                "lab run: neither a CELL_ID nor --disruption was given",
                hint="to list the ids: lab ladder --tier=soak; for the options: lab run --help",
            )
        given = {name: getattr(self, name) for name in Options.model_fields}
        try:
            return CellRequest(
                arch=self.arch,
                kernel=self.kernel,
                mode=self.mode,
                guest=self.guest,
                vmm=self.vmm,
                disruption=self.disruption,
                vcpus=self.vcpus,
                options=Options(**given),
                expect=(self.expect or Expect.SURVIVES).of(Scope.RUNNING),
                scope=self.scope,
            ).cell(lab, accel=accel)
        except ConfigError as e:
            raise ConfigError(Exception.__str__(e), hint=as_options(e.hint)) from e


def option(name: str) -> str:
    """Return the option of a field: `--stop-ms` of `stop_ms`.

    Args:
        name: The field's.
    """
    return f"--{name.replace('_', '-')}"


def as_options(hint: str | None) -> str | None:
    """Return a hint for a topology as one for a command line.

    Args:
        hint: What a topology would have to say: `type vmm = ["qemu"]`.

    Returns:
        The same with options, `type --vmm=qemu`; None if there is no hint.
    """
    if hint is None:
        return None
    flat = hint.replace("options = {", "").replace("}", "")
    return re.sub(
        r'(\w+) = \[?"?([\w-]+)"?\]?', lambda found: f"{option(found[1])}={found[2]}", flat
    )
