# SPDX-License-Identifier: Apache-2.0
"""Whether a cell's host can be what lab.toml makes of it: CPU model, memory, command line."""

from __future__ import annotations

from dataclasses import dataclass

from lab.config.model import Cell, Orphaning
from lab.host.cmdline import host_cmdline
from lab.host.needs import handover_is_off, memory_lacks
from lab.runner.lab_session import LabSession

# What is carried over a kexec by KHO.
_CARRIED = frozenset(
    {Orphaning.RESIDENT, Orphaning.UNPRESERVED, Orphaning.LUO_VCPU, Orphaning.LASTING}
)


@dataclass(frozen=True, slots=True)
class Short:
    """Why a cell cannot be run on the host that lab.toml describes.

    Attributes:
        probe: What was asked, and of whom.
        why: The answer, as one sentence.
    """

    probe: str
    why: str


def short_of(lab_session: LabSession, cell: Cell, words: tuple[str, ...]) -> Short | None:
    """Look, before anything boots, for what a cell's host lacks.

    Args:
        lab_session: The run.
        cell: The cell.
        words: The words of its kernel in lab.toml for the command line.

    Returns:
        The first thing that it lacks; None if nothing is known to be missing.
    """
    if why := lab_session.cpu_lacks(cell.request):
        return Short("query-cpu-model-expansion of QEMU", why)
    cmdline = host_cmdline(cell.arch, nonce="NONCE", extra=words)
    if why := memory_lacks(cell.request.memory_mib, cell.memory_mib, cmdline):
        return Short("the host's command line", why)
    off = handover_is_off(cmdline)
    if off and _is_handed_over(cell):
        why = (
            f"kernel {cell.kernel!r} has {off} on its command line, and the cell hands memory over"
        )
        return Short("the host's command line", why)
    return None


def _is_handed_over(cell: Cell) -> bool:
    options = cell.options
    return options.memory is not None or (
        cell.disruption.loads_kernel and options.orphaning in _CARRIED
    )
