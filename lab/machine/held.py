# SPDX-License-Identifier: Apache-2.0
"""The second witness of a guest that has no kernel below it: what L0 sees of the CPUs it is on.

Its beats show that somebody goes on who has its key. That this is the guest, on the CPUs that the
host gave away, is seen otherwise: QEMU holds each of them to be in SVM's guest mode, on a nested
table that lies in the caretaker's memory and is not the host's; and L0 walks it to the page that
the beats are written to. The host's own word is in it only for where the caretaker's memory is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lab.deadline import Deadline, until
from lab.errors import DeadlineError
from lab.machine.caretaker import Region
from lab.machine.swallowed import Peek, is_below, leaves
from lab.virt.cpus import Cpu

_BOOT_CPU = 0  # no host can give it away


def held(
    look: Callable[[], tuple[Cpu, ...]],
    peek: Peek,
    region: Region,
    pages: Mapping[int, int],
    by: Deadline,
) -> tuple[str, bool]:
    """Say what is seen of the CPUs that run a guest's vCPUs, and whether it is as it has to be.

    Args:
        look: Gives all CPUs of the machine, as QEMU holds them.
        peek: Reads its physical memory: address, size.
        region: The caretaker's memory.
        pages: Where the beacon of each vCPU is, physical. vCPU n is on CPU n + 1.
        by: Until when each of them has to have been seen in guest mode: one that idles, or
            is in the caretaker, is not.
    """
    roots: dict[int, tuple[int, int]] = {}

    def seen() -> bool | None:
        for cpu in look():
            if is_below(cpu, region) and cpu.root is not None:
                roots.setdefault(cpu.index, (cpu.root, cpu.levels))
        return {vcpu + 1 for vcpu in pages} <= set(roots) or None

    try:
        until("its CPUs to be seen in guest mode", seen, by)
    except DeadlineError:
        missing = sorted({vcpu + 1 for vcpu in pages} - set(roots))
        return f"L0 does not see CPUs {missing} in guest mode below the caretaker", False
    for vcpu, page in pages.items():
        root, levels = roots[vcpu + 1]
        if (root, levels) == roots.get(_BOOT_CPU):
            return f"CPU {vcpu + 1} is on the nested table of the host, {root:#x}", False
        if not any(start <= page < start + size for start, size in leaves(peek, root, levels)):
            return f"the nested table of CPU {vcpu + 1} does not lead to {page:#x}", False
    tables = len({roots[vcpu + 1] for vcpu in pages})
    return (
        f"QEMU has CPUs {sorted(vcpu + 1 for vcpu in pages)} in guest mode, on {tables} nested "
        f"table of the caretaker's that leads to where the beats are, and is not the host's"
    ), True
