# SPDX-License-Identifier: Apache-2.0
"""Proves that /dev/kvm runs a guest: some KVMs open, create VMs, and still run nothing."""

from __future__ import annotations

import argparse
import ctypes
import mmap
import os
import platform
import signal
import struct
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from ..arch.arm64 import board
from ..arch.x86 import driver
from ..errors import VmmError
from ..kvm import arm64 as kvm_arm64
from ..kvm import common as kvm
from ..kvm import x86 as kvm_x86
from ..kvm.ioctl import call
from ..machine import memory
from ..machine.vcpu import EXIT_REASON, UNION

PATIENCE_S = 10
CODE_AT = 0x1000
# mov al, '!' ; out 0xe9, al ; hlt
CODE_X86 = b"\xb0!\xe6\xe9\xf4"
# movz x0, #0x900, lsl #16 ; mov w1, '!' ; strb w1, [x0] ; PSCI SYSTEM_OFF: movz x0,
# #0x8400, lsl #16 ; movk x0, #8 ; hvc #0
CODE_ARM64 = bytes.fromhex("0020a1d2 21048052 01000039 0080b0d2 000180f2 020000d4")
PORT = 0xE9


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare no arguments."""


def main(_: argparse.Namespace) -> Mapping[str, object]:
    """Run a few instructions in a guest.

    Args:
        _: No arguments.

    Returns:
        "ok", the reason if not, the time it took in ms, and the TSC rates in kHz.
    """
    started = time.monotonic_ns()
    rates: dict[str, int] = {}
    try:
        reason = _run_a_few_instructions(rates)
    except (VmmError, OSError) as e:
        reason = str(e)
    took = (time.monotonic_ns() - started) / 1e6
    return {
        "ok": reason is None,
        "reason": reason or "a guest ran a few instructions",
        "arch": platform.machine(),
        "ms": round(took, 2),
        "tsc": rates,
    }


def _run_a_few_instructions(rates: dict[str, int]) -> str | None:
    machine = platform.machine()
    if machine not in _PROOFS:
        return f"no proof is written for '{machine}'"
    prepare_vm, code, prepare_vcpu, watch = _PROOFS[machine]
    device = kvm.open_device()
    opened = [device]
    try:
        vm = call(device, kvm.Request.KVM_CREATE_VM)
        opened.append(vm)
        rates.update(prepare_vm(vm))
        ram = memory.memfd(1 << 16, "labvmm-check")._replace(base=memory.base())
        opened.append(ram.fd)
        ram.write(ram.base + CODE_AT, code, "check")
        memory.attach(vm, ram)
        vcpu = call(vm, kvm.Request.KVM_CREATE_VCPU, 0)
        opened.append(vcpu)
        run = mmap.mmap(vcpu, call(device, kvm.Request.KVM_GET_VCPU_MMAP_SIZE))
        prepare_vcpu(vcpu)
        return _in_time(lambda: watch(vcpu, run))
    finally:
        for fd in reversed(opened):
            os.close(fd)


def _tsc_rates(vm: int) -> dict[str, int]:
    """Compare the TSC rate that VMMs get with the host's; see `arch.x86.driver.keep_tsc_rate`."""
    default = call(vm, kvm_x86.Request.KVM_GET_TSC_KHZ)
    driver.keep_tsc_rate(vm)
    host = call(vm, kvm_x86.Request.KVM_GET_TSC_KHZ)
    return {
        "default_khz": default,
        "host_khz": host,
        "skew_ppm": abs(host - default) * 1_000_000 // max(host, 1),
    }


def _start_in_real_mode(vcpu: int) -> None:
    sregs = kvm_x86.Sregs()
    call(vcpu, kvm_x86.Request.KVM_GET_SREGS, sregs)
    sregs.cs.base = sregs.cs.selector = 0
    call(vcpu, kvm_x86.Request.KVM_SET_SREGS, sregs)
    call(vcpu, kvm_x86.Request.KVM_SET_REGS, kvm_x86.Regs(rip=CODE_AT, rflags=2))


def _watch_x86(vcpu: int, run: mmap.mmap) -> str | None:
    first = _step(vcpu, run)
    if first != kvm.Exit.IO:
        return f"the guest's OUT came as exit {kvm.exit_name(first)}"
    direction, size, port, _, at = struct.unpack_from("=BBHIQ", run, UNION)
    if (direction, size, port, run[at : at + 1]) != (1, 1, PORT, b"!"):
        return f"the guest's OUT came as port {port:#x}, byte {run[at : at + 1]!r}"
    second = _step(vcpu, run)
    return None if second == kvm.Exit.HLT else f"HLT came as exit {kvm.exit_name(second)}"


def _start_at_el1(vcpu: int) -> None:
    init = kvm_arm64.VcpuInit(target=kvm_arm64.TARGET_GENERIC_V8)
    init.features[0] = kvm_arm64.PSCI_0_2
    call(vcpu, kvm_arm64.Request.KVM_ARM_VCPU_INIT, init)
    kvm_arm64.set_register(vcpu, "pc", memory.base() + CODE_AT)


def _watch_arm64(vcpu: int, run: mmap.mmap) -> str | None:
    first = _step(vcpu, run)
    if first != kvm.Exit.MMIO:
        return f"the guest's store came as exit {kvm.exit_name(first)}"
    address, content, size, is_write = struct.unpack_from("=Q8sIB", run, UNION)
    if (address, content[:1], size, is_write) != (board.UART[0], b"!", 1, 1):
        return f"the guest's store came as {size} bytes {content!r} to {address:#x}"
    second = _step(vcpu, run)
    if second != kvm.Exit.SYSTEM_EVENT:
        return f"PSCI SYSTEM_OFF came as exit {kvm.exit_name(second)}"
    return None


def _in_time(watch: Callable[[], str | None]) -> str | None:
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
    try:
        return watch()
    except InterruptedError:
        return f"the guest did not run to its end in {PATIENCE_S} s"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _step(vcpu: int, run: mmap.mmap) -> int:
    call(vcpu, kvm.Request.KVM_RUN)
    return ctypes.c_uint32.from_buffer_copy(run[EXIT_REASON : EXIT_REASON + 4]).value


class _Proof(NamedTuple):
    """What differs: how the VM is prepared, the code, the vCPU's start, and the expected exits."""

    prepare_vm: Callable[[int], dict[str, int]]
    code: bytes
    prepare_vcpu: Callable[[int], None]
    watch: Callable[[int, mmap.mmap], str | None]


_PROOFS = {
    "x86_64": _Proof(_tsc_rates, CODE_X86, _start_in_real_mode, _watch_x86),
    "aarch64": _Proof(lambda _: {}, CODE_ARM64, _start_at_el1, _watch_arm64),
}
