# SPDX-License-Identifier: Apache-2.0
"""What the kernels of a cell lack for it, by their configurations and versions; pure.

A kernel that says nothing of its configuration is taken to have everything: what then goes wrong
is the cell's outcome, as it always was.
"""

from __future__ import annotations

from collections.abc import Iterator

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
    found = [*_missing_options(cell, host, guest), *_too_old(cell, host)]
    return "; ".join(found) or None


def _missing_options(cell: Cell, host: KernelImage, guest: KernelImage) -> Iterator[str]:
    for option, use in _host_options(cell):
        if host.lacks(option):
            yield _said(host, option, use)
    if cell.disruption.loads_kernel and host.lacks("KEXEC_FILE") and host.lacks("KEXEC"):
        yield _said(host, "KEXEC and no CONFIG_KEXEC_FILE", "loading the next kernel")
    hidden = cell.options.confidential is Confidential.PKVM and cell.guest is GuestKind.LINUX
    if hidden and guest.lacks("ARM_PKVM_GUEST"):
        yield _said(guest, "ARM_PKVM_GUEST", "being a protected guest")


def _host_options(cell: Cell) -> Iterator[tuple[str, str]]:
    if cell.options.memory is not None:
        yield "KEXEC_HANDOVER", "handing memory over"
        yield "LIVEUPDATE", "holding memory in a live update session"
        if cell.options.memory is not MemoryKind.MEMFD:
            yield "LIVEUPDATE_MEMFD", "preserving a memfd"
    if cell.disruption is DisruptionKind.CRASH_KEXEC:
        yield "CRASH_DUMP", "entering a kernel after a panic"


def _too_old(cell: Cell, host: KernelImage) -> Iterator[str]:
    if host.version == (0, 0):
        return
    if cell.mode is HostMode.NESTED and host.version < _NESTED:
        yield _since(host, _NESTED, "guests of guests")
    if cell.options.confidential is Confidential.PKVM and host.version < _PROTECTED:
        yield _since(host, _PROTECTED, "protected guests, KVM_VM_TYPE_ARM_PROTECTED")


def _said(kernel: KernelImage, option: str, use: str) -> str:
    return f"kernel {kernel.name!r} ({kernel.release}) has no CONFIG_{option}, for {use}"


def _since(kernel: KernelImage, wanted: tuple[int, int], what: str) -> str:
    dotted = ".".join(map(str, wanted))
    return f"kernel {kernel.name!r} is {kernel.release}, and {what} came with {dotted}"
