# SPDX-License-Identifier: Apache-2.0
"""One cell from single words, by the same rules as those of a topology; and its plan on paper."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from lab.build.cache import standard
from lab.config.fields import did_you_mean
from lab.config.matrix import expand
from lab.config.model import (
    MODES,
    Accel,
    Arch,
    Cell,
    Confidential,
    DisruptionKind,
    Grid,
    GuestKind,
    HostMode,
    HostSpec,
    KexecLoad,
    LabConfig,
    MemoryKind,
    Scope,
    Tier,
    Topology,
    VmmKind,
)
from lab.config.validation_errors import model_mistake
from lab.errors import ConfigError
from lab.events import nowhere
from lab.host.blueprint import domain_spec
from lab.resources.ledger import state_dir
from lab.runner.blueprints import blueprint_of
from lab.runner.image_store import Workshop
from lab.virt.tsc import clock_words
from lab.virt.xml import DomainSpec

WHERE = "lab run"
_HOST = "a"
_STOP_MS = 250
_PORT = 22000


def single_cell(
    lab: LabConfig,
    *,
    accel: Accel,
    arch: Arch = Arch.X86_64,
    mode: HostMode | None = None,
    kernel: str = "stock",
    guest: GuestKind = GuestKind.LINUX,
    vmm: VmmKind = VmmKind.QEMU,
    disruption: DisruptionKind,
    vcpus: int = 1,
    stop_ms: int | None = None,
    memory: MemoryKind | None = None,
    load: KexecLoad = KexecLoad.FILE_LOAD,
    confidential: Confidential | None = None,
    expect: str = "survives",
) -> Cell:
    """Make the cell that these words describe; sizes are lab.toml's.

    Raises:
        ConfigError: they make no sense together, or there is no such kernel.
    """
    if kernel not in lab.kernel:
        hint = did_you_mean(kernel, list(lab.kernel)) or f"there are: {', '.join(lab.kernel)}"
        raise ConfigError(f"{WHERE}: no kernel {kernel!r} in lab.toml", hint=hint)
    if disruption is DisruptionKind.VCPU_STOP and stop_ms is None:
        stop_ms = _STOP_MS
    options: dict[str, object] = {"stop_ms": stop_ms, "memory": memory, "load": load}
    options["confidential"] = confidential
    raw = {
        "guest": guest,
        "vmm": vmm,
        "disruption": disruption,
        "vcpus": vcpus,
        "options": {key: value for key, value in options.items() if value is not None},
        "expect": expect,
        "scope": Scope.MEMORY if memory else Scope.RUNNING,
        "tier": Tier.CI,
    }
    try:
        grid = Grid.model_validate(raw)
    except ValidationError as e:
        raise model_mistake(Path(WHERE), Grid, e) from e
    try:
        host = HostSpec(arch=arch, kernel=kernel, mode=mode or MODES[arch][0])
    except ValidationError as e:
        raise model_mistake(Path(WHERE), HostSpec, e) from e
    topology = Topology(name="lab-run", description=WHERE, host={_HOST: host}, cells=(grid,))
    (cell,) = expand([topology], lab, accel=accel)
    return cell


def on_paper(lab: LabConfig, cell: Cell) -> DomainSpec:
    """Return the machine that `cell` would run on, with names for what only a real run makes."""
    request, state = cell.request, state_dir(lab.state)
    blueprint = blueprint_of(
        lab,
        request,
        request.role,
        run_id="RUN",
        outfit=Workshop(lab, standard(lab.cache), nowhere).on_paper(request.kernel, request.arch),
        through=None,
        accel=cell.accel,
        clock=clock_words(cell.accel, request.arch),
        folder=state / "runs" / "RUN",
        state=state,
    )
    initrd = blueprint.folder / "initrd"
    return domain_spec(blueprint, port=_PORT, nonce="NONCE", initrd=initrd, user=None)


def plan_of(lab: LabConfig, cell: Cell) -> tuple[str, ...]:
    """Say what a run of `cell` would do, step by step."""
    watch = lab.watch
    scope = f", {cell.scope.value}" if cell.scope is Scope.MEMORY else ""
    stop = f" for {cell.options.stop_ms} ms" if cell.options.stop_ms else ""
    request = cell.request
    host = f"{request.vcpus} vCPUs, {request.memory_mib} MiB, on {cell.accel.value.upper()}"
    guest = f"{cell.vcpus} vCPUs, {cell.memory_mib} MiB"
    return (
        f"build kernel {cell.kernel} for {cell.arch.value} and what goes with it, if not cached",
        f"boot host {cell.host}: {host}",
        f"start guest {cell.guest.value} by {cell.vmm.value}: {guest}",
        f"find its beacon, and watch it for {watch.baseline_s:g} s",
        f"do {cell.disruption.value}{stop}, and see that it was done",
        f"watch for {watch.after_s:g} s more; silence beyond {watch.patience_s:g} s is a loss",
        f"judge; expected: {type(cell.expectation).__name__.lower()}{scope}",
    )
