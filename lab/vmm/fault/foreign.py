# SPDX-License-Identifier: Apache-2.0
"""`labvmm foreign`: what KVM lets another process do with a guest's descriptors; stock says EIO."""

from __future__ import annotations

import argparse
import ctypes
import errno
import mmap
from collections.abc import Callable, Mapping
from pathlib import Path

from ..errors import VmmError
from ..kvm import common as kvm
from ..kvm.common import Request
from ..kvm.ioctl import call
from ..machine import control

RUN_PAGE = 4096


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--socket", type=Path, required=True, help="labvmm's control socket")


def main(chosen: argparse.Namespace) -> Mapping[str, object]:
    """Try harmless requests; the guest is paused, so that KVM_RUN would come back at once."""
    status, _ = control.ask(chosen.socket, "status")
    if status["state"] != "paused":
        raise VmmError(
            f"the guest is {status['state']}; where KVM allows it, KVM_RUN would run it here",
            hint=f"labvmm ctl --socket {chosen.socket} pause",
        )
    _, fds = control.ask(chosen.socket, "fds")
    vm, vcpu, ram = fds["vm"], fds["vcpu0"], fds["ram"]
    tries: dict[str, Callable[[], object]] = {
        "vm.KVM_CHECK_EXTENSION": lambda: kvm.has(vm, kvm.Capability.MAX_VCPUS),
        "vm.KVM_GET_CLOCK": lambda: call(vm, Request.KVM_GET_CLOCK, kvm.ClockData()),
        "vm.KVM_IRQ_LINE": lambda: call(vm, Request.KVM_IRQ_LINE, kvm.IrqLevel(irq=23, level=0)),
        "vcpu.KVM_GET_MP_STATE": lambda: call(vcpu, Request.KVM_GET_MP_STATE, kvm.MpState()),
        "vcpu.KVM_RUN": lambda: call(vcpu, Request.KVM_RUN),
        "vcpu.mmap": lambda: mmap.mmap(vcpu, RUN_PAGE).close(),
        "ram.mmap": lambda: mmap.mmap(ram, ctypes.sizeof(kvm.IrqLevel)).close(),
    }
    return {"answers": {name: _answer(attempt) for name, attempt in tries.items()}}


def _answer(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except OSError as e:
        return errno.errorcode.get(e.errno or 0, str(e.errno))
    return "ok"
