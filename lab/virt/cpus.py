# SPDX-License-Identifier: Apache-2.0
"""QEMU's own state of x86-64 CPUs under TCG, parsed from its migration stream; pure."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field

from lab.errors import InfraError

# A section of QEMU's migration stream, and a subsection of it: marker, name, version, big-endian.
_CPU = re.compile(rb"\x04.{4}\x03cpu(.{4})\x00\x00\x00\x0c", re.DOTALL)  # vmstate_x86_cpu
# There while TCG walks a nested page table. QEMU 10.0 spells it "svn", and might mend that.
_NESTED = re.compile(rb"\x05\x0bcpu/sv[nm]_npt\x00\x00\x00\x01")
_FIRST = struct.Struct(">16Q Q Q I")  # registers, RIP, RFLAGS, hflags
_ROOT = struct.Struct(">Q I")  # nested CR3, paging mode

_IN_GUEST = 1 << 21  # HF_GUEST_MASK: between VMRUN and #VMEXIT
_FIVE_LEVELS = 1 << 4  # PG_MODE_LA57 of QEMU's, which is not the bit of CR4
_ALWAYS = 1 << 1  # of RFLAGS
_NEVER = ~0x3F7FD7 & ~_ALWAYS


@dataclass(frozen=True, slots=True)
class Cpu:
    """One CPU at one moment: whether in SVM's guest mode, on which nested page table, and where."""

    index: int
    in_guest: bool
    root: int | None = None
    levels: int = 4
    rip: int = field(default=0, compare=False)


def cpus_in(saved: bytes) -> tuple[Cpu, ...]:
    """Parse the CPUs out of the device state that QEMU saved.

    Args:
        saved: The bytes of `xen-save-devices-state`.

    Returns:
        The CPUs by index.

    Raises:
        InfraError: The bytes are not as QEMU 10 writes them.

    Source: QEMU, target/i386/machine.c, vmstate_x86_cpu and vmstate_svm_npt.
    """
    found = list(_CPU.finditer(saved))
    ends = [match.start() for match in found[1:]]
    pieces = zip(found, [*ends, len(saved)], strict=False)
    cpus = tuple(_cpu(match, saved[match.end() : end]) for match, end in pieces)
    if not cpus or [cpu.index for cpu in cpus] != list(range(len(cpus))):
        raise InfraError(f"QEMU's {len(saved)} bytes of state have no CPUs in a known format")
    return cpus


def _cpu(match: re.Match[bytes], fields: bytes) -> Cpu:
    index = int.from_bytes(match[1])
    *_, rip, rflags, hflags = _FIRST.unpack_from(fields)
    if not rflags & _ALWAYS or rflags & _NEVER:
        raise InfraError(f"QEMU writes CPU {index} in an unknown format: {rflags=:#x}")
    nested = _NESTED.search(fields)
    if nested is None:
        return Cpu(index, bool(hflags & _IN_GUEST), rip=rip)
    root, mode = _ROOT.unpack_from(fields, nested.end())
    return Cpu(index, bool(hflags & _IN_GUEST), root, 5 if mode & _FIVE_LEVELS else 4, rip)
