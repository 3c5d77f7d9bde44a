# SPDX-License-Identifier: Apache-2.0
"""One cell asked for by its words, and made by the same rules as a topology's; pure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, ValidationError

from lab.config.enums import (
    MODES,
    Accel,
    Arch,
    DisruptionKind,
    GuestKind,
    HostMode,
    Scope,
    Tier,
    VmmKind,
)
from lab.config.fields import Count, Model, Text, did_you_mean
from lab.config.matrix import expand
from lab.config.model import LabConfig
from lab.config.topology import (
    Cell,
    Expectation,
    Grid,
    HostSpec,
    Options,
    Survives,
    Topology,
    read_expectation,
)
from lab.config.validation_errors import model_mistake
from lab.errors import ConfigError

WHERE = "lab run"
_STOP_MS = 250
_HOST = "a"


class CellRequest(Model):
    """A cell on a host of its own, whose sizes are lab.toml's; it is in no topology's file.

    Attributes:
        mode: The host's; None is the usual one of `arch`.
        vcpus: How many the guest has.
        options: As in a topology; for 'vcpu-stop' without a length it is 250 ms.
        scope: What is judged; None is 'memory' if `options.memory` is set, else 'running'.
    """

    arch: Arch = Arch.X86_64
    kernel: Text = "stock"
    mode: HostMode | None = None
    guest: GuestKind = GuestKind.LINUX
    vmm: VmmKind = VmmKind.QEMU
    disruption: DisruptionKind
    vcpus: Count = 1
    options: Options = Options()
    expect: Annotated[Expectation, BeforeValidator(read_expectation)] = Survives()
    scope: Scope | None = None

    def cell(self, lab: LabConfig, *, accel: Accel) -> Cell:
        """Return the cell that is asked for.

        Args:
            lab: Its kernels, and the sizes of hosts.
            accel: What the host runs on: 'kvm' or 'tcg'.

        Returns:
            The cell, of tier ci, in a topology 'lab-run' that is in no file.

        Raises:
            ConfigError: lab.toml has no such kernel, or the words exclude each other.
        """
        for kernel in filter(None, (self.kernel, self.options.through)):
            if kernel not in lab.kernel:
                hint = did_you_mean(kernel, list(lab.kernel))
                hint = hint or f"there are: {', '.join(lab.kernel)}"
                raise ConfigError(f"{WHERE}: no kernel {kernel!r} in lab.toml", hint=hint)
        try:
            grid = self._grid()
        except ValidationError as e:
            raise model_mistake(Path(WHERE), Grid, e) from e
        mode = self.mode or MODES[self.arch][0]
        try:
            host = HostSpec(arch=self.arch, kernel=self.kernel, mode=mode)
        except ValidationError as e:
            raise model_mistake(Path(WHERE), HostSpec, e) from e
        topology = Topology(name="lab-run", description=WHERE, host={_HOST: host}, cells=(grid,))
        (cell,) = expand([topology], lab, accel=accel)
        return cell

    def _grid(self) -> Grid:
        options = self.options
        if self.disruption is DisruptionKind.VCPU_STOP and options.stop_ms is None:
            options = options.model_copy(update={"stop_ms": _STOP_MS})
        return Grid(
            guest=(self.guest,),
            vmm=(self.vmm,),
            disruption=(self.disruption,),
            vcpus=(self.vcpus,),
            options=(options,),
            expect=self.expect,
            scope=self.scope or (Scope.MEMORY if options.memory else Scope.RUNNING),
            tier=Tier.CI,
        )
