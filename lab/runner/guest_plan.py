# SPDX-License-Identifier: Apache-2.0
"""From a cell to the guest that is started for it; pure but for the guest's name and secrets."""

from __future__ import annotations

import time

from lab.config.model import Cell, Confidential, GuestKind
from lab.errors import UnavailableError
from lab.guest.guest import GuestPlan

_MS = 1_000_000


def guest_plan(cell: Cell, words: tuple[str, ...] = ()) -> GuestPlan:
    """Return the plan of a cell's guest.

    Args:
        cell: What is run.
        words: More words for the guest's command line: how a mutant is made.

    Returns:
        The plan, with a new name and new secrets.

    Raises:
        UnavailableError: The cell is for a confidential guest of a kind that cannot be started.
    """
    hidden = cell.options.confidential
    if hidden is Confidential.SEV_SNP:  # an ordinary guest must not bear its name
        raise UnavailableError(
            f"{cell.id}: this lab cannot start a guest that is {hidden.value}",
            hint=f'expect = {{unavailable = "why"}} in {cell.topology}.toml',
        )
    return GuestPlan(
        name=f"guest-{time.monotonic_ns() // _MS}",
        kind=cell.guest,
        vmm=cell.vmm,
        vcpus=cell.vcpus,
        memory_mib=cell.memory_mib,
        words=(*words, *work_of(cell), *beats_of(cell)),
        protected=hidden is Confidential.PKVM,
        orphan_policy=cell.options.policy,
    )


def work_of(cell: Cell) -> tuple[str, ...]:
    """Return the words that have a guest fault pages, fork and copy beside its beats.

    Args:
        cell: What is run; only Linux can work in a chaos cell.
    """
    return ("beacon.work=1",) if cell.options.chaos and cell.guest is GuestKind.LINUX else ()


def beats_of(cell: Cell) -> tuple[str, ...]:
    """Return the words that have a guest beat more slowly, where it may run through a kexec.

    QEMU answers no peek for 0.2 to 0.4 s while the next kernel starts, as was seen under TCG; a
    ring of 191 beats would be overrun, and what came between is then not proven.

    Args:
        cell: What is run.
    """
    through = cell.disruption.loads_kernel and cell.options.orphaning
    return ("beacon.period_us=4000",) if through else ()
