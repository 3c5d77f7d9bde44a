# SPDX-License-Identifier: Apache-2.0
"""What each vCPU says of itself: what KVM supports, this vCPU's APIC id, one package."""

from __future__ import annotations

from typing import NamedTuple

BY_INDEX = 1  # KVM_CPUID_FLAG_SIGNIFCANT_INDEX
HTT, HYPERVISOR, TSC_DEADLINE = 1 << 28, 1 << 31, 1 << 24
MASK = 0xFFFFFFFF
PARAVIRTUAL = 0x40000001
CLOCKS = 1 << 0 | 1 << 1 | 1 << 3 | 1 << 24  # kvmclock, old and new; no delays; it is stable
_TOPOLOGIES = frozenset({0xB, 0x1F, 0x80000026})  # remade, or left out


class Leaf(NamedTuple):
    """One answer of the CPUID instruction."""

    function: int
    subleaf: int
    flags: int
    eax: int
    ebx: int
    ecx: int
    edx: int


def for_vcpu(supported: list[Leaf], index: int, count: int, *, deadline: bool) -> list[Leaf]:
    """Make the leaves of vCPU `index` of `count`: all of them cores of one package."""
    leaves = [
        _patched(x, index, count, deadline) for x in supported if x.function not in _TOPOLOGIES
    ]
    if not any(x.function == 0 and x.eax >= 0xB for x in supported):  # noqa: PLR2004
        return leaves
    width = (count - 1).bit_length()
    return [
        *leaves,
        Leaf(0xB, 0, BY_INDEX, 0, 1, 0x100, index),
        Leaf(0xB, 1, BY_INDEX, width, count, 0x201, index),
        Leaf(0xB, 2, BY_INDEX, 0, 0, 2, index),
    ]


def plain(leaves: list[Leaf]) -> list[Leaf]:
    """Leave out all of KVM's help but its clock: no IPIs by hypercall, no asynchronous page faults.

    The caretaker, which runs the guest without KVM, emulates none of it.
    """
    return [
        leaf._replace(eax=leaf.eax & CLOCKS) if leaf.function == PARAVIRTUAL else leaf
        for leaf in leaves
    ]


def _patched(leaf: Leaf, index: int, count: int, deadline: bool) -> Leaf:
    match leaf.function:
        case 0x1:
            return leaf._replace(
                ebx=(leaf.ebx & 0xFFFF) | count << 16 | index << 24,
                ecx=leaf.ecx | HYPERVISOR | (TSC_DEADLINE if deadline else 0),
                edx=leaf.edx | HTT if count > 1 else leaf.edx & (MASK ^ HTT),
            )
        case 0x4 if leaf.eax & 0x1F:
            return leaf._replace(eax=(leaf.eax & 0x3FFFFFF) | (count - 1) << 26)
        case 0x80000008:
            width = (count - 1).bit_length()
            return leaf._replace(ecx=(leaf.ecx & 0xFFFF0000) | width << 12 | (count - 1))
        case 0x8000001E:
            return leaf._replace(eax=index, ebx=index, ecx=0)
        case _:
            return leaf
