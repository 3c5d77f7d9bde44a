# SPDX-License-Identifier: Apache-2.0
"""What the reference kernel adds to KVM: owners, adoption, vCPUs on threads of the kernel's.

Source: include/uapi/linux/kvm_async.h of the reference kernel. The numbers are private ones.
"""

from __future__ import annotations

import ctypes
import enum
import mmap
import struct
from typing import NamedTuple

from ..errors import VmmError
from .common import KVM
from .common import Request as KvmRequest
from .ioctl import call, io, ior, iow

CAP_ORPHAN = 0x4C414201
ADOPT_GENERATION = 1
PAGE_AT = 0xF00  # of struct kvm_async_page, in the first page of a vCPU's mapping
_PAGE = struct.Struct("=QI")


class Policy(enum.IntEnum):
    """What becomes of the vCPUs when the owner exits without a release."""

    RUN = 0
    PARK = 1
    KILL = 2


class Owner(enum.IntEnum):
    """Whether there is an owner."""

    PRESENT = 0
    RELEASED = 1
    GONE = 2


class State(enum.IntEnum):
    """What a vCPU does."""

    PAUSED = 0
    RUNNING = 1
    STOPPING = 2
    STOPPED = 3
    FAILED = 4


class EnableCap(ctypes.Structure):
    """struct kvm_enable_cap."""

    _fields_ = (
        ("cap", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("args", ctypes.c_uint64 * 4),
        ("pad", ctypes.c_uint8 * 64),
    )


class OrphanState(ctypes.Structure):
    """struct kvm_orphan_state."""

    _fields_ = (
        ("state", ctypes.c_uint32),
        ("policy", ctypes.c_uint32),
        ("generation", ctypes.c_uint64),
        ("reserved", ctypes.c_uint64 * 4),
    )


class Adopt(ctypes.Structure):
    """struct kvm_adopt."""

    _fields_ = (
        ("flags", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
        ("generation", ctypes.c_uint64),
        ("reserved", ctypes.c_uint64 * 2),
    )


class RunAsync(ctypes.Structure):
    """struct kvm_run_async."""

    _fields_ = (
        ("flags", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
        ("reserved", ctypes.c_uint64 * 3),
    )


class AsyncState(ctypes.Structure):
    """struct kvm_async_state."""

    _fields_ = (
        ("state", ctypes.c_uint32),
        ("exit_reason", ctypes.c_uint32),
        ("error", ctypes.c_int32),
        ("pad", ctypes.c_uint32),
        ("exit_seq", ctypes.c_uint64),
        ("pc", ctypes.c_uint64),
        ("reserved", ctypes.c_uint64 * 4),
    )


class Request(enum.IntEnum):
    """ioctl requests on a VM or a vCPU."""

    KVM_ENABLE_CAP = iow(KVM, 0xA3, ctypes.sizeof(EnableCap))
    KVM_ORPHAN_STATE = ior(KVM, 0xF0, ctypes.sizeof(OrphanState))
    KVM_ORPHAN_RELEASE = io(KVM, 0xF1)
    KVM_ADOPT = iow(KVM, 0xF2, ctypes.sizeof(Adopt))
    KVM_RUN_ASYNC = iow(KVM, 0xF3, ctypes.sizeof(RunAsync))
    KVM_ASYNC_PARK = io(KVM, 0xF4)
    KVM_ASYNC_STATE = ior(KVM, 0xF5, ctypes.sizeof(AsyncState))


class Ownership(NamedTuple):
    """The state of a VM's owner, the policy, and how often the VM has been adopted."""

    owner: Owner
    policy: Policy
    generation: int


class Page(NamedTuple):
    """What a vCPU's mapping says: how many exits there were for userspace, and its state."""

    exit_seq: int
    state: int


_GO = RunAsync()


def policies(fd: int) -> list[Policy]:
    """List the policies that /dev/kvm or a VM offers.

    Args:
        fd: The descriptor of /dev/kvm or of a VM.

    Returns:
        The policies; empty if this kernel has no VM that outlives its owner.
    """
    mask = call(fd, KvmRequest.KVM_CHECK_EXTENSION, CAP_ORPHAN)
    return [policy for policy in Policy if mask & 1 << policy]


def enable(vm: int, policy: Policy) -> None:
    """Let a VM outlive its owner; it must have neither vCPUs nor memory yet.

    Args:
        vm: The VM's descriptor.
        policy: What its vCPUs do while there is no owner.

    Raises:
        VmmError: This kernel has no such VM, or not with that policy.
    """
    offered = policies(vm)
    if policy not in offered:
        what = ", ".join(p.name.lower() for p in offered)
        raise VmmError(
            f"this kernel has no KVM_CAP_ORPHAN with policy '{policy.name.lower()}' "
            f"({f'it has {what}' if what else 'it has none'}), so no guest outlives its VMM"
        )
    wanted = EnableCap(cap=CAP_ORPHAN)
    wanted.args[0] = policy
    call(vm, Request.KVM_ENABLE_CAP, wanted)


def ownership(vm: int) -> Ownership:
    """Ask for the owner's state; any process with the descriptor may.

    Args:
        vm: The VM's descriptor.

    Returns:
        Owner, policy and generation.
    """
    state = OrphanState()
    call(vm, Request.KVM_ORPHAN_STATE, state)
    return Ownership(Owner(state.state), Policy(state.policy), state.generation)


def adopt(vm: int, generation: int) -> None:
    """Become the owner of a VM, unless another process adopted it meanwhile.

    Args:
        vm: The VM's descriptor.
        generation: How often the VM had been adopted when this process looked.

    Raises:
        OSError: EBUSY: there is an owner; ESTALE: another adopter was first; EPERM: this user may
            not; EIO: the VM is dead; EINVAL: the VM cannot be adopted.
    """
    call(vm, Request.KVM_ADOPT, Adopt(flags=ADOPT_GENERATION, generation=generation))


def release(vm: int) -> None:
    """Release the ownership of a VM; its vCPUs run on.

    Args:
        vm: The VM's descriptor.
    """
    call(vm, Request.KVM_ORPHAN_RELEASE)


def run(vcpu: int) -> None:
    """Start a vCPU, or continue it after its exit was served; does not wait for the next exit.

    Args:
        vcpu: The vCPU's descriptor.
    """
    call(vcpu, Request.KVM_RUN_ASYNC, _GO)


def park(vcpu: int) -> None:
    """Take a vCPU out of the guest, and wait until it is.

    Args:
        vcpu: The vCPU's descriptor.
    """
    while True:
        try:
            call(vcpu, Request.KVM_ASYNC_PARK)
        except InterruptedError:
            continue
        return


def state_of(vcpu: int) -> AsyncState:
    """Ask for a vCPU's state; never waits for the vCPU, and any process with the descriptor may.

    Args:
        vcpu: The vCPU's descriptor.

    Returns:
        The kernel's structure.
    """
    state = AsyncState()
    call(vcpu, Request.KVM_ASYNC_STATE, state)
    return state


def page_of(run: mmap.mmap) -> Page:
    """Read the kernel's page in a vCPU's mapping.

    Args:
        run: The mapping of the vCPU's descriptor.

    Returns:
        The number of its last exit, and its state.
    """
    return Page(*_PAGE.unpack_from(run, PAGE_AT))
