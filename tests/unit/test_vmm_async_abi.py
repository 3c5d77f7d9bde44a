# SPDX-License-Identifier: Apache-2.0
"""The orphans' ABI as labvmm has it: sizes and numbers of the reference kernel's kvm_async.h."""

from __future__ import annotations

import ctypes

import pytest

from lab.vmm.kvm import async_run as kvm_async


@pytest.mark.parametrize(
    ("structure", "size"),
    [
        (kvm_async.EnableCap, 104),
        (kvm_async.OrphanState, 48),
        (kvm_async.Adopt, 32),
        (kvm_async.RunAsync, 32),
        (kvm_async.AsyncState, 64),
    ],
)
def test_structures_have_the_reference_kernels_size(
    structure: type[ctypes.Structure], size: int
) -> None:
    assert ctypes.sizeof(structure) == size


@pytest.mark.parametrize(
    ("number", "wanted"),
    [
        (kvm_async.Request.KVM_ENABLE_CAP, 0x4068AEA3),
        (kvm_async.Request.KVM_ORPHAN_STATE, 0x8030AEF0),
        (kvm_async.Request.KVM_ORPHAN_RELEASE, 0xAEF1),
        (kvm_async.Request.KVM_ADOPT, 0x4020AEF2),
        (kvm_async.Request.KVM_RUN_ASYNC, 0x4020AEF3),
        (kvm_async.Request.KVM_ASYNC_PARK, 0xAEF4),
        (kvm_async.Request.KVM_ASYNC_STATE, 0x8040AEF5),
    ],
)
def test_requests_have_the_reference_kernels_numbers(number: int, wanted: int) -> None:
    assert number == wanted
