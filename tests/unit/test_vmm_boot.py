# SPDX-License-Identifier: Apache-2.0
"""What labvmm lays out for a guest: PVH start info, MP table, CPUID, structures."""

from __future__ import annotations

import ctypes
import os
import struct

import pytest

from lab.vmm.arch.x86 import cpuid, mptable, pvh
from lab.vmm.errors import VmmError
from lab.vmm.kvm import common as kvm
from lab.vmm.kvm import x86 as kvm_x86
from lab.vmm.machine import memory
from lab.vmm.state import liveupdate

MIB = 1 << 20


@pytest.mark.parametrize(
    ("structure", "size"),
    [
        (kvm.MemoryRegion, 160),
        (kvm.GuestMemfd, 64),
        (kvm.IrqLevel, 8),
        (kvm.ClockData, 48),
        (kvm_x86.Regs, 144),
        (kvm_x86.Segment, 24),
        (kvm_x86.Sregs, 312),
        (kvm_x86.CpuidEntry, 40),
        (kvm_x86.PitConfig, 64),
        (liveupdate.Session, 72),
        (liveupdate.Token, 16),
    ],
)
def test_structures_have_the_kernels_size(structure: type[ctypes.Structure], size: int) -> None:
    assert ctypes.sizeof(structure) == size


@pytest.mark.parametrize(
    ("request_", "number"),
    [
        (kvm.Request.KVM_RUN, 0xAE80),
        (kvm.Request.KVM_CHECK_EXTENSION, 0xAE03),
        (kvm.Request.KVM_SET_USER_MEMORY_REGION, 0x4020AE46),
        (kvm.Request.KVM_SET_USER_MEMORY_REGION2, 0x40A0AE49),
        (kvm.Request.KVM_IRQ_LINE, 0x4008AE61),
        (kvm.Request.KVM_GET_CLOCK, 0x8030AE7C),
        (kvm.Request.KVM_GET_MP_STATE, 0x8004AE98),
        (kvm.Request.KVM_CREATE_GUEST_MEMFD, 0xC040AED4),
        (kvm_x86.Request.KVM_GET_SUPPORTED_CPUID, 0xC008AE05),
        (kvm_x86.Request.KVM_CREATE_PIT2, 0x4040AE77),
        (kvm_x86.Request.KVM_SET_REGS, 0x4090AE82),
        (kvm_x86.Request.KVM_SET_SREGS, 0x4138AE84),
        (kvm_x86.Request.KVM_SET_CPUID2, 0x4008AE90),
        (liveupdate.Request.LIVEUPDATE_SESSION_PRESERVE_FD, 0xBA40),
    ],
)
def test_requests_have_the_numbers_of_the_kernels_headers(request_: int, number: int) -> None:
    assert request_ == number


@pytest.mark.parametrize(
    ("newer", "request_"),
    [
        (1, kvm.Request.KVM_SET_USER_MEMORY_REGION2),
        (0, kvm.Request.KVM_SET_USER_MEMORY_REGION),
    ],
)
def test_a_kernel_before_6_8_gets_the_older_request_for_memory(
    newer: int, request_: kvm.Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[object, ...]] = []

    def call(*words: object) -> int:
        asked.append(words)
        return newer

    monkeypatch.setattr(kvm, "call", call)
    region = kvm.MemoryRegion(slot=1, memory_size=4096)
    kvm.set_memory_region(5, region)
    assert asked == [
        (5, kvm.Request.KVM_CHECK_EXTENSION, kvm.Capability.USER_MEMORY2),
        (5, request_, region),
    ]


@pytest.mark.parametrize("vcpus", [1, 2, mptable.MAX_CPUS])
def test_the_mp_table_adds_up_and_fits(vcpus: int) -> None:
    table = mptable.build(vcpus)
    assert len(table) <= mptable.ROOM
    assert table[:4] == b"_MP_"
    assert sum(table[:16]) % 256 == 0
    size, count = struct.unpack_from("<H", table, 20)[0], struct.unpack_from("<H", table, 50)[0]
    assert table[16:20] == b"PCMP"
    assert sum(table[16 : 16 + size]) % 256 == 0
    assert len(table) == 16 + size
    assert count == vcpus + 1 + 1 + 16 + 2


def test_only_the_first_mp_table_cpu_is_the_bootstrap_processor() -> None:
    table = mptable.build(3)
    cpus = [table[60 + 20 * n : 80 + 20 * n] for n in range(3)]
    assert [(c[0], c[1], c[3]) for c in cpus] == [(0, 0, 3), (0, 1, 1), (0, 2, 1)]


def test_more_cpus_than_the_mp_table_holds_are_refused() -> None:
    with pytest.raises(VmmError, match="33 vCPUs; 1 to 32"):
        mptable.build(33)


def test_start_info_points_at_command_line_map_and_initrd() -> None:
    found = {p.address: p.content for p in pvh.pieces("console=ttyS0", 64 * MIB, (0x3F00000, 77))}
    head = struct.unpack("<IIIIQQQQII", found[pvh.START_INFO])
    assert head[:4] == (0x336EC578, 1, 0, 1)
    assert head[4:8] == (pvh.MODULES, pvh.CMDLINE, 0, pvh.MEMORY_MAP)
    assert found[pvh.CMDLINE] == b"console=ttyS0\0"
    assert struct.unpack("<QQQQ", found[pvh.MODULES]) == (0x3F00000, 77, 0, 0)
    assert len(found[pvh.MEMORY_MAP]) == 24 * head[8]


def test_the_memory_map_has_no_gap_and_ends_with_ram() -> None:
    at = 0
    for address, size, _ in pvh.memory_map(64 * MIB):
        assert address == at
        at += size
    assert at == 64 * MIB


def test_without_an_initrd_there_is_no_module() -> None:
    found = {p.address: p.content for p in pvh.pieces("", 64 * MIB, None)}
    assert pvh.MODULES not in found
    assert struct.unpack_from("<IIII", found[pvh.START_INFO])[3] == 0


@pytest.mark.parametrize("cmdline", ["x" * 2048, "caf\N{LATIN SMALL LETTER E WITH ACUTE}"])
def test_a_command_line_that_linux_would_cut_is_refused(cmdline: str) -> None:
    with pytest.raises(VmmError, match="at most 2047, all ASCII"):
        pvh.pieces(cmdline, 64 * MIB, None)


def test_each_vcpu_knows_its_own_apic_id() -> None:
    supported = [
        cpuid.Leaf(0, 0, 0, 0xD, 0, 0, 0),
        cpuid.Leaf(1, 0, 0, 0x663, 0x00010800, 1 << 21, 0),
        cpuid.Leaf(0xB, 0, 1, 9, 9, 9, 9),
        cpuid.Leaf(0x8000001E, 0, 0, 9, 9, 9, 0),
    ]
    leaves = cpuid.for_vcpu(supported, 1, 2, deadline=True)
    one = next(x for x in leaves if x.function == 1)
    assert one.ebx == 0x01020800
    assert one.ecx & cpuid.HYPERVISOR
    assert one.ecx & cpuid.TSC_DEADLINE
    assert one.edx & cpuid.HTT
    topology = [x for x in leaves if x.function == 0xB]
    assert [(x.subleaf, x.eax, x.ebx, x.edx) for x in topology] == [
        (0, 0, 1, 1),
        (1, 1, 2, 1),
        (2, 0, 0, 1),
    ]
    assert next(x for x in leaves if x.function == 0x8000001E).eax == 1


def test_what_does_not_fit_into_ram_names_what_it_is() -> None:
    ram = memory.memfd(MIB)
    ram.write(0x1000, b"abc", "x")
    assert ram.pages[0x1000:0x1003] == b"abc"
    with pytest.raises(VmmError, match=r"initrd needs guest memory up to 0x100002") as caught:
        ram.write(MIB - 1, b"abc", "initrd")
    assert caught.value.hint == "give it --memory 18"
    ram.pages.close()
    os.close(ram.fd)
