# SPDX-License-Identifier: Apache-2.0
"""The second witness of a resident guest: what L0 sees of the CPUs that run its vCPUs.

Beats show that something goes on that has the guest's key. That this is the guest, on the CPUs
that its host took offline, is seen by other means: QEMU has each of them in SVM's guest mode, on
a nested table that lies in the caretaker's memory and is not the host's; and L0 walks it to the
page that the beats are written to. Only where the caretaker's memory is, is the host's word.

A vCPU that sleeps nearly always is hardly ever met in guest mode. Its CPU is in the caretaker's
own code then, which lies in that memory, and so does the VMCB that it will enter.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

from lab.caretaker.control import Region
from lab.caretaker.swallow_proof import HEAD, Peek, is_below, leaves
from lab.deadline import Deadline, until
from lab.errors import DeadlineError
from lab.observe.proof import Method, Proof
from lab.virt.cpus import Cpu

_BOOT_CPU = 0  # never offline
_AWAKE_S = 8.0  # how long to wait for a vCPU that sleeps
_PAGE = 4096
CPU_BYTES, CPU_GUEST = 0xB000, 0x3000  # of the caretaker's core/layout.h
_NESTED_CR3 = 0xB0  # in a VMCB (AMD64 manual, volume 2, appendix B)

Roots = dict[int, tuple[int, int]]  # by CPU: its nested CR3, and how many levels the table has


def residency(
    look: Callable[[], tuple[Cpu, ...]],
    peek: Peek,
    region: Region,
    pages: Mapping[int, int],
    by: Deadline,
) -> Proof:
    """Look at the CPUs that run a guest's vCPUs.

    Args:
        look: Returns all CPUs of the machine, as QEMU has them.
        peek: Reads its physical memory: address and size, in bytes.
        region: The caretaker's memory.
        pages: The physical address of each vCPU's beacon. vCPU n is on CPU n + 1.
        by: When to give up looking for a CPU in guest mode; 8 s at most.

    Returns:
        Right if each is in guest mode, or will enter it, on a nested table in `region` that is
        not the host's and leads to the vCPU's beacon.

    Source: AMD64 Architecture Programmer's Manual, volume 2, 15.25 "Nested Paging"; appendix B.
    """
    wanted = {vcpu + 1 for vcpu in pages}
    roots, asleep = _looked(look, region, wanted, by)
    # of one that sleeps, how many levels its table has is known by the host's
    missing = sorted((wanted | ({_BOOT_CPU} if asleep else set())) - set(roots) - asleep)
    if missing:
        return _wrong(f"L0 does not see CPUs {missing} in guest mode below the caretaker")
    for index in asleep:
        roots[index] = _put_down(peek, region, index), roots[_BOOT_CPU][1]
    for vcpu, page in pages.items():
        root, levels = roots[vcpu + 1]
        if (root, levels) == roots.get(_BOOT_CPU) or not region.holds(root):
            return _wrong(f"CPU {vcpu + 1} is on the nested table of the host, {root:#x}")
        if not any(start <= page < start + size for start, size in leaves(peek, root, levels)):
            return _wrong(f"the nested table of CPU {vcpu + 1} does not lead to {page:#x}")
    told = _told(wanted, asleep, len({roots[index] for index in wanted}))
    return Proof(Method.SVM_STATE, told, right=True)


def _wrong(seen: str) -> Proof:
    return Proof(Method.SVM_STATE, seen, right=False)


def _looked(
    look: Callable[[], tuple[Cpu, ...]], region: Region, wanted: set[int], by: Deadline
) -> tuple[Roots, set[int]]:
    """Look until each CPU was met in guest mode, or for long enough; those left only slept."""
    roots: Roots = {}
    slept: set[int] = set()

    def seen() -> bool | None:
        for cpu in look():
            if is_below(cpu, region) and cpu.root is not None:
                roots.setdefault(cpu.index, (cpu.root, cpu.levels))
            elif region.holds(cpu.rip):
                slept.add(cpu.index)
        return wanted <= set(roots) or None

    try:
        until("its CPUs to be seen in guest mode", seen, Deadline.after(min(by.left, _AWAKE_S)))
    except DeadlineError:
        return roots, slept & wanted - set(roots)
    return roots, set()


def _put_down(peek: Peek, region: Region, index: int) -> int:
    """Read the nested table that a CPU enters its guest on, out of its VMCB."""
    _, _, size, *_ = HEAD.unpack(peek(region.start, HEAD.size))
    cpus = region.start + -(-size // _PAGE) * _PAGE
    vmcb = cpus + index * CPU_BYTES + CPU_GUEST
    (root,) = struct.unpack("<Q", peek(vmcb + _NESTED_CR3, 8))
    return int(root)


def _told(wanted: set[int], asleep: set[int], tables: int) -> str:
    seen = [f"CPUs {sorted(wanted - asleep)} in guest mode"] if wanted - asleep else []
    seen += [f"CPUs {sorted(asleep)} asleep in the caretaker's code"] if asleep else []
    return (
        f"QEMU has {' and '.join(seen)}, on {tables} nested table of the caretaker's that "
        "leads to where the beats are, and is not the host's"
    )
