# SPDX-License-Identifier: Apache-2.0
"""The dry run of a cell: the machine that it would run on, and what would be done there."""

from __future__ import annotations

from lab.build.cache import standard
from lab.config.model import Cell, LabConfig, Scope
from lab.events import nowhere
from lab.host.blueprint import domain_spec
from lab.resources.ledger import state_dir
from lab.runner.blueprints import blueprint_of
from lab.runner.image_store import ImageStore
from lab.virt.tsc import clock_words
from lab.virt.xml import DomainSpec

_PORT = 22000


def on_paper(lab: LabConfig, cell: Cell) -> DomainSpec:
    """Return the machine that a cell would run on, with names for what only a real run makes.

    Args:
        lab: The lab.
        cell: The cell.

    Returns:
        The machine as libvirt would be asked for it; RUN, NONCE and DIGEST stand for the rest.

    Raises:
        ConfigError: lab.toml has no such kernel.
    """
    request, state = cell.request, state_dir(lab.state)
    blueprint = blueprint_of(
        lab,
        request,
        request.role,
        run_id="RUN",
        outfit=ImageStore(lab, standard(lab.cache), nowhere).on_paper(request.kernel, request.arch),
        through=None,
        accel=cell.accel,
        clock=clock_words(cell.accel, request.arch),
        folder=state / "runs" / "RUN",
        state=state,
    )
    initrd = blueprint.folder / "initrd"
    return domain_spec(blueprint, port=_PORT, nonce="NONCE", initrd=initrd, user=None)


def plan_of(lab: LabConfig, cell: Cell) -> tuple[str, ...]:
    """Describe what a run of a cell would do.

    Args:
        lab: The lab.
        cell: The cell.

    Returns:
        The steps, in order.
    """
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
