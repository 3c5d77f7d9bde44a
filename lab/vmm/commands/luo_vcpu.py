# SPDX-License-Identifier: Apache-2.0
"""`labvmm luo-vcpu`: a running guest in a LUO session, by the RFC "Orphaned Virtual Machines".

CPUs, the VM, its RAM and then its vCPUs are preserved: each vCPU runs on a preserved CPU at once,
before the kexec and over it. The VMM has to stay: KVM's VM is bound to its memory map. Closing the
session cancels all of it. What the kernel leaves to the VMM, as interrupt controllers and the
serial port, is preserved as labvmm's own state.

Source: "[RFC PATCH 00/46] Orphaned Virtual Machines", 2026-09-20; its selftest
tools/testing/selftests/kvm/caretaker_test.c.
"""

from __future__ import annotations

import argparse
import base64
import importlib
import os
import platform
import select
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .. import procfs
from ..cli import say
from ..errors import VmmError
from ..kvm import common as kvm
from ..kvm.ioctl import call
from ..machine import control, memory
from ..machine.create import Frame, assemble
from ..machine.driver import Driver
from ..machine.machine import Machine
from ..machine.memory import Ram, RamKind
from ..state import liveupdate, snapshot, vm_x86

CPUS = "/sys/devices/system/cpu"
DESCRIPTION, RAM, VM, FIRST_VCPU, FIRST_CPU = 0, 1, 2, 16, 4096  # tokens of a session
PREFAULT_S = 0.2  # pinned pages move: what the guest needs is mapped again before its vCPUs leave
# As the RFC's selftests have them where the headers do not: they are not reserved.
CAPABILITIES = {"KVM_CAP_VCPU_PRESERVE": 252, "KVM_CAP_CARETAKER": 253}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    acts = parser.add_subparsers(required=True, metavar="VERB")
    probe = acts.add_parser("probe", help="show what this kernel lacks for it")
    probe.set_defaults(act=_probe)
    leave = acts.add_parser("preserve", help="preserve a running labvmm's guest; stays")
    leave.add_argument("--vmm", type=Path, required=True, help="that labvmm's control socket")
    leave.add_argument("--cpus", type=int, nargs="+", required=True, help="that run its vCPUs")
    leave.set_defaults(act=_preserve)
    adopt = acts.add_parser("adopt", help="after the kexec: go on with it under KVM; stays")
    adopt.add_argument("--console", type=Path, required=True)
    adopt.add_argument("--socket", type=Path, required=True, help="control socket to make")
    adopt.set_defaults(act=_adopt)
    for one in (leave, adopt):
        one.add_argument("--session", required=True, help="of LUO")


def main(chosen: argparse.Namespace) -> Mapping[str, object]:
    """Run the chosen verb."""
    act: Callable[[argparse.Namespace], Mapping[str, object]] = chosen.act
    return act(chosen)


def _probe(_: argparse.Namespace) -> Mapping[str, object]:
    lacks = [str(path) for path in (Path(liveupdate.DEVICE), _cpu(1)) if not path.exists()]
    device = kvm.open_device()
    for name, number in CAPABILITIES.items():
        if not call(device, kvm.Request.KVM_CHECK_EXTENSION, number):
            lacks.append(name)
    os.close(device)
    if platform.machine() != "x86_64":
        lacks.append(
            f"labvmm's way to restore what the kernel leaves to it, on {platform.machine()}"
        )
    return {"can": not lacks, "lacks": lacks}


def _preserve(chosen: argparse.Namespace) -> Mapping[str, object]:
    control.ask(chosen.vmm, "pause")
    _, fds = control.ask(chosen.vmm, "fds")
    device = liveupdate.open_device()
    session = liveupdate.create(device, chosen.session)
    os.close(device)
    try:
        _preserve_all(chosen, session, fds)
    except (OSError, VmmError):
        os.close(session)  # which cancels, and has the CPUs back, before the vCPUs run here
        control.ask(chosen.vmm, "unsave")
        raise
    ended = _until_signal({"session": chosen.session, "state": "preserved", **_me()})
    os.close(session)
    control.ask(chosen.vmm, "unsave")
    return {"state": "cancelled", "signal": ended}


def _preserve_all(chosen: argparse.Namespace, session: int, fds: Mapping[str, int]) -> None:
    for cpu in chosen.cpus:
        fd = os.open(_cpu(cpu), os.O_RDONLY | os.O_CLOEXEC)
        liveupdate.preserve_fd(session, fd, FIRST_CPU + cpu)
        os.close(fd)
    liveupdate.preserve_fd(session, fds["vm"], VM)
    liveupdate.preserve_fd(session, fds["ram"], RAM)
    control.ask(chosen.vmm, "resume")
    select.select([], [], [], PREFAULT_S)
    state, more = control.ask(chosen.vmm, "save")  # out of KVM_RUN again, or it is EBUSY
    for fd in more.values():
        os.close(fd)
    description = {k: v for k, v in state.items() if k not in {"ok", "fds"}}
    memfd = liveupdate.in_memfd({**description, "cpus": chosen.cpus}, "labvmm-luo-vcpu")
    liveupdate.preserve_fd(session, memfd, DESCRIPTION)
    os.close(memfd)
    vcpus = [name for name in fds if name.startswith("vcpu")]
    for n in range(len(vcpus)):
        liveupdate.preserve_fd(session, fds[f"vcpu{n}"], FIRST_VCPU + n)


def _adopt(chosen: argparse.Namespace) -> Mapping[str, object]:
    """Make all of the VM first: its vCPUs run until they are retrieved."""
    device = liveupdate.open_device()
    session = liveupdate.retrieve(device, chosen.session)
    description = snapshot.read(liveupdate.retrieve_fd(session, DESCRIPTION))
    ram = liveupdate.retrieve_fd(session, RAM)
    guest = _machine(description, session, ram, chosen.console)
    tokens = [liveupdate.retrieve_fd(session, FIRST_CPU + cpu) for cpu in description["cpus"]]
    liveupdate.finish(session)
    for fd in (*tokens, session, device):
        os.close(fd)
    control.remove_stale(chosen.socket)
    verbs = importlib.import_module(".verbs", __package__)
    answer: Mapping[str, object] = verbs.live(guest, chosen.socket)
    return answer


def _machine(description: Mapping[str, Any], session: int, ram_fd: int, console: Path) -> Machine:
    vm, count = liveupdate.retrieve_fd(session, VM), int(description["count"])
    frame = Frame(console, count, serial=base64.b64decode(description["serial"]))

    def furnish(driver: Driver) -> tuple[Ram, list[int]]:
        ram = memory.mapped(RamKind.MEMFD, ram_fd, os.fstat(ram_fd).st_size)
        memory.attach(vm, ram)
        driver.prepare_vm()
        vm_x86.put_devices(vm, vm_x86.parse(description["state"]["vm"]))
        return ram, [liveupdate.retrieve_fd(session, FIRST_VCPU + n) for n in range(count)]

    return assemble(kvm.open_device(), vm, frame, furnish)


def _cpu(number: int) -> Path:
    return Path(CPUS) / f"cpu{number}" / "preserve"


def _me() -> dict[str, object]:
    return {"pid": os.getpid(), "start_time": procfs.start_time(os.getpid())}


def _until_signal(answer: Mapping[str, object]) -> str:
    """Print an answer, and wait for SIGTERM or SIGINT, which are blocked before it is read."""
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    say(answer)
    return signal.Signals(signal.sigwait(ends)).name
