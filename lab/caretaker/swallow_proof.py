# SPDX-License-Identifier: Apache-2.0
"""The proof that an x86-64 host is swallowed, for the most part by what L0 sees.

1. Each CPU, asked from inside by hypercall, is answered from below.
2. Where the caretaker is said to be, L0 reads code that is, byte for byte, in the kernel it built.
3. QEMU itself has each CPU in SVM's guest mode, on a nested table that lies there. A CPU of a
   native host is in guest mode only while KVM runs a guest, and then on a table of KVM's.
4. L0 walks that table: it leads nowhere into the caretaker's memory.
5. A process in the host that touches that memory is killed, while L0 reads it.

The first is the caretaker's and Linux's word. 2 to 4 need nothing of them but the address.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from lab.build.kernel import KernelImage
from lab.caretaker.control import MAGIC, Caretaker, Region
from lab.config.model import HostMode
from lab.deadline import Deadline, until
from lab.errors import InfraError, ProductError, UnavailableError
from lab.ssh.session import Session
from lab.virt.cpus import Cpu
from lab.virt.domain import Domain

_PAGE = 4096
_TABLES = 8192  # more are no identity map in leaves of 1 GiB
_PRESENT, _LEAF, _ADDRESS = 1, 1 << 7, 0x000FFFFFFFFFF000
HEAD = struct.Struct("<4s 7I")  # struct caretaker_image
_LARGEST_TEXT = 1 << 20

Peek = Callable[[int, int], bytes]


def require_caretaker(kernel: KernelImage, mode: HostMode) -> None:
    """Require, before anything boots, that the kernel of a swallowed host has a caretaker.

    Args:
        kernel: What the host boots; one whose configuration is not known is not judged here.
        mode: The mode of the host; in any other nothing is required.

    Raises:
        UnavailableError: The kernel was built without CONFIG_CARETAKER.
    """
    if mode is not HostMode.SWALLOWED or kernel.config is None:
        return
    if "CONFIG_CARETAKER=y" not in kernel.config.read_text(encoding="utf-8").splitlines():
        raise _no_caretaker(kernel)


def _no_caretaker(kernel: KernelImage) -> UnavailableError:
    return UnavailableError(
        f"no caretaker: kernel {kernel.name!r} was built without CONFIG_CARETAKER",
        hint='a swallowed host needs a kernel that has one: kernel = "reference"',
    )


def require_swallowed(
    session: Session, domain: Domain, kernel: KernelImage, by: Deadline
) -> list[str]:
    """Require that a host is swallowed.

    Args:
        session: A session with it, as root.
        domain: Its machine.
        kernel: What it boots.
        by: When to give up waiting until all of its CPUs are met in guest mode.

    Returns:
        What was seen, one sentence for each part of the proof.

    Raises:
        UnavailableError: Its kernel has no caretaker, and nobody knows how it was built.
        ProductError: It was built with one, and did not come up swallowed.
        InfraError: It is native in part, or the caretaker hides nothing.
    """
    inside = Caretaker(session)
    proofs = [_answered(inside, kernel, session.peer)]
    region = inside.region()
    proofs.append(_code(domain.peek, region, kernel))
    if domain.evidence()["accelerator"] == "tcg":
        cpus = until("all CPUs in guest mode", lambda: _all_below(domain.cpus(), region), by)
        proofs.append(_hidden(domain.peek, cpus, region))
    else:
        proofs.append(
            "whether its CPUs are in guest mode was not looked at: L0 sees that under TCG only"
        )
    touch = inside.touch()
    if not touch.refused:
        raise InfraError(
            f"{session.peer} should be swallowed, but can reach private memory: {touch}"
        )
    proofs.append(
        f"a process that touches it is killed; L0 reads {domain.peek(region.start, 4)!r} there"
    )
    return proofs


def _answered(inside: Caretaker, kernel: KernelImage, peer: str) -> str:
    native, asked = inside.native_cpus()
    if native or not asked:
        state = inside.state
        if not state and kernel.config is None:
            raise _no_caretaker(kernel)
        # It says so where the machine lacks what it needs; all else is its own failure.
        kind = InfraError if state.startswith("unavailable") else ProductError
        said = ", ".join(native) or state or "its kernel says nothing of a caretaker"
        raise kind(
            f"{peer} should be swallowed, but is not: {said}",
            hint="read the lines with 'caretaker:' on its console",
        )
    return f"the caretaker answers on each of {asked} CPUs"


def _code(peek: Peek, region: Region, kernel: KernelImage) -> str:
    """Compare what lies in private memory with what was built, both by L0."""
    magic, _, _, text_end, *_ = HEAD.unpack(peek(region.start, HEAD.size))
    if magic != MAGIC or not HEAD.size < text_end < _LARGEST_TEXT:
        raise InfraError(f"L0 sees no caretaker at {region.start:#x}: {magic!r}")
    if peek(region.start, text_end) not in kernel.vmlinux.read_bytes():
        raise InfraError(f"the caretaker's code at {region.start:#x} is not what was built")
    return f"L0 reads its {text_end} bytes of code at {region.start:#x} as they were built"


def is_below(cpu: Cpu, region: Region) -> bool:
    """Return whether a CPU is in guest mode on a table of the caretaker's, as QEMU has it.

    Args:
        cpu: One CPU of a host.
        region: The caretaker's memory.

    Returns:
        False also for a CPU that is in the caretaker itself at this moment: look again.
    """
    return cpu.in_guest and cpu.root is not None and region.holds(cpu.root)


def _all_below(cpus: tuple[Cpu, ...], region: Region) -> tuple[Cpu, ...] | None:
    return cpus if all(is_below(cpu, region) for cpu in cpus) else None


def _hidden(peek: Peek, cpus: tuple[Cpu, ...], region: Region) -> str:
    """Walk the nested tables of all CPUs, which are the same while no guest runs."""
    roots = {(c.root, c.levels) for c in cpus if c.root is not None}
    count = 0
    for root, levels in roots:
        for start, size in leaves(peek, root, levels):
            count += 1
            if region.touches(start, size):
                raise InfraError(
                    f"the nested table at {root:#x} leads to {start:#x}, which is private: "
                    "this caretaker hides nothing"
                )
    if not count:
        raise InfraError("the nested tables of its CPUs map nothing, but the CPUs run")
    return (
        f"QEMU has all {len(cpus)} CPUs in guest mode, on {len(roots)} nested table of the "
        f"caretaker's, of whose {count} leaves none is private"
    )


def leaves(peek: Peek, root: int, levels: int) -> Iterator[tuple[int, int]]:
    """Walk a nested page table.

    Args:
        peek: Reads the machine's physical memory: address and size, in bytes.
        root: Physical address of its root, as nested CR3 has it.
        levels: 4 or 5.

    Returns:
        Each piece of memory that it maps: physical address and bytes, 4 KiB to 1 GiB.

    Raises:
        InfraError: It has more tables than any that the caretaker makes.

    Source: AMD64 Architecture Programmer's Manual, volume 2, 15.25 "Nested Paging".
    """
    tables = [(root & _ADDRESS, levels)]
    read = 0
    while tables:
        at, level = tables.pop()
        read += 1
        if read > _TABLES:
            raise InfraError(f"the nested table at {root:#x} does not end")
        for (entry,) in struct.iter_unpack("<Q", peek(at, _PAGE)):
            if not entry & _PRESENT:
                continue
            if level == 1 or (level <= 3 and entry & _LEAF):  # noqa: PLR2004 - 1 GiB
                size = 1 << (12 + 9 * (level - 1))
                yield entry & _ADDRESS & -size, size
            else:
                tables.append((entry & _ADDRESS, level - 1))
