# SPDX-License-Identifier: Apache-2.0
"""The twin of a surviving cell: the control that must die in the same run; pure.

A guest that survives shows something only if the same guest dies of the same disruption where the
feature that is to keep it is off, or else on the stock kernel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from lab.config.enums import DisruptionKind, HostMode, MemoryKind, OrphanPolicy, Tier
from lab.config.topology import Cell, Dies, Options, Parks, Survives, Twin
from lab.errors import ConfigError

_TIERS = list(Tier)
# What ends the source of a transfer, without a target.
_INSTEAD = {DisruptionKind.CPR_TRANSFER: DisruptionKind.VMM_KILL}


def needs_twin(cell: Cell) -> bool:
    """Return whether a cell's survival shows nothing without a control.

    Args:
        cell: The cell; where nothing is taken away from its guest, it is a control itself.

    Returns:
        Whether it is to survive, or to be parked, when something is.
    """
    lives = isinstance(cell.expectation, Survives | Parks)
    return lives and cell.disruption.takes_away


def with_twins(
    cells: Sequence[Cell],
    named: Mapping[str, Twin],
    made_by: Mapping[str, str],
    *,
    stock: str,
) -> tuple[Cell, ...]:
    """Return the cells, each surviving one with the id of its twin.

    Args:
        cells: Every cell of all topologies.
        named: By the id of a cell, the twin that its grid names.
        made_by: By the id of a cell, its file and grid, for messages.
        stock: The kernel that has no feature by which a guest survives, stand-ins resolved.

    Returns:
        The same cells in the same order. `twin` is "" where none is needed, or none is there.

    Raises:
        ConfigError: a twin that is named is no cell, or none that is to die.
    """
    controls = [cell for cell in cells if isinstance(cell.expectation, Dies)]
    found = []
    for cell in cells:
        if cell.id in named:
            twin = _named(cell, named[cell.id], controls, made_by[cell.id])
        else:
            twin = _derived(cell, controls, stock) if needs_twin(cell) else ""
        found.append(cell.model_copy(update={"twin": twin}))
    return tuple(found)


def _named(cell: Cell, twin: Twin, controls: Sequence[Cell], where: str) -> str:
    request = replace(
        cell.request, kernel=twin.kernel or cell.kernel, mode=twin.mode or cell.mode, through=None
    )
    wanted = cell.model_copy(
        update={
            "request": request,
            "disruption": twin.disruption or cell.disruption,
            "options": twin.options or cell.options,
        }
    ).id
    if all(control.id != wanted for control in controls):
        raise ConfigError(
            f"{where}: twin: no cell {wanted!r} is to die, which would be the twin of {cell.id!r}",
            hint='add [[cells]] that make it, with expect = "dies"',
        )
    return wanted


def _derived(cell: Cell, controls: Sequence[Cell], stock: str) -> str:
    fit = [control for control in controls if _fits(cell, control, stock)]
    best = min(fit, key=lambda control: _distance(cell, control), default=None)
    return best.id if best else ""


def _fits(cell: Cell, control: Cell, stock: str) -> bool:
    """Whether nothing but the feature, or the kernel that has it, tells the two apart."""
    same = all(
        getattr(cell, name) == getattr(control, name)
        for name in ("arch", "accel", "guest", "vmm", "vcpus")
    )
    disruption = _INSTEAD.get(cell.disruption, cell.disruption)
    hidden = cell.options.confidential is control.options.confidential
    if not (same and hidden and control.disruption is disruption):
        return False
    if control.kernel == cell.kernel and control.mode is cell.mode:
        moved = disruption is not cell.disruption
        return moved or _feature(control.options) != _feature(cell.options)
    # The stock kernel cannot be in a mode that only the feature makes.
    return control.kernel == stock and control.mode in {cell.mode, _usual(cell)}


def _usual(cell: Cell) -> HostMode:
    return HostMode.NATIVE if cell.mode is HostMode.SWALLOWED else cell.mode


def _feature(options: Options) -> tuple[object, ...]:
    return options.orphaning, options.policy, options.memory, options.load


def _distance(cell: Cell, control: Cell) -> tuple[object, ...]:
    """Return how far a control is from a cell: a tier of its own, its host, the feature itself."""
    ours, theirs = cell.options, control.options
    memory = MemoryKind.MEMFD if ours.memory else None  # the same, and not preserved
    return (
        max(_TIERS.index(control.tier) - _TIERS.index(cell.tier), 0),
        control.kernel != cell.kernel,
        control.mode is not cell.mode,
        theirs.memory is not memory,
        theirs.load is not ours.load,
        theirs.orphaning is not None,
        theirs.policy is not OrphanPolicy.RUN,
        theirs.chaos is not ours.chaos,
        theirs.kexecs,
    )
