# SPDX-License-Identifier: Apache-2.0
"""What the kernels of a cell lack for it, by their configurations and versions; pure.

A kernel that says nothing of its configuration is taken to have everything: what then goes wrong
is the cell's outcome, as it always was.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lab.build.kernel import KernelImage
from lab.config.model import Cell, Confidential, DisruptionKind, GuestKind, HostMode, MemoryKind

# The first with what arm64 cells need of KVM: guests of guests; KVM_VM_TYPE_ARM_PROTECTED.
_NESTED = (6, 16)
_PROTECTED = (7, 0)


def lacking(cell: Cell, host: KernelImage, guest: KernelImage) -> str | None:
    """Return why a cell cannot be run with these kernels.

    Args:
        cell: The cell.
        host: Its host's kernel.
        guest: What its Linux guests boot.

    Returns:
        The options and versions that are missing, and for what; None if nothing is.
    """
    missing = [*_missing(host, _host_options(cell)), *_missing(guest, _guest_options(cell))]
    return "; ".join([*missing, *_too_old(cell, host)]) or None


def _missing(kernel: KernelImage, options: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield one sentence with all options that a kernel lacks, each with its use."""
    lacks = [
        f"CONFIG_{' or CONFIG_'.join(either.split())} ({use})"
        for either, use in options
        if all(kernel.lacks(option) for option in either.split())
    ]
    if lacks:
        yield f"kernel {kernel.name!r} ({kernel.release}) has no {', no '.join(lacks)}"


def _host_options(cell: Cell) -> Iterator[tuple[str, str]]:
    """Yield what a host's kernel needs: an option or one of several, and for what."""
    if cell.options.memory is not None:
        yield "KEXEC_HANDOVER", "handing memory over"
        yield "LIVEUPDATE", "a live update session"
        if cell.options.memory is not MemoryKind.MEMFD:
            yield "LIVEUPDATE_MEMFD", "preserving a memfd"
    if cell.disruption is DisruptionKind.CRASH_KEXEC:
        yield "CRASH_DUMP", "entering a kernel after a panic"
    if cell.disruption.loads_kernel:
        yield "KEXEC_FILE KEXEC", "loading the next kernel"


def _guest_options(cell: Cell) -> Iterator[tuple[str, str]]:
    if cell.options.confidential is Confidential.PKVM and cell.guest is GuestKind.LINUX:
        yield "ARM_PKVM_GUEST", "being a protected guest"


def _too_old(cell: Cell, host: KernelImage) -> Iterator[str]:
    if host.version == (0, 0):
        return
    if cell.mode is HostMode.NESTED and host.version < _NESTED:
        yield _since(host, _NESTED, "guests of guests")
    if cell.options.confidential is Confidential.PKVM and host.version < _PROTECTED:
        yield _since(host, _PROTECTED, "protected guests, KVM_VM_TYPE_ARM_PROTECTED")


def _since(kernel: KernelImage, wanted: tuple[int, int], what: str) -> str:
    dotted = ".".join(map(str, wanted))
    return f"kernel {kernel.name!r} is {kernel.release}, and {what} came with {dotted}"
