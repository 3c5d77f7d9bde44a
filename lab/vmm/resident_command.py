# SPDX-License-Identifier: Apache-2.0
"""`labvmm resident`: a guest that lives with the caretaker, over its VMM's end and a kexec."""

from __future__ import annotations

import argparse
import os
import signal
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from . import console as consoles
from . import control, given, kvm, luo, memory, procfs, record, resident, verbs
from . import driver as drivers
from .cli import say
from .control import Asked, Reply
from .errors import VmmError
from .given import Given
from .ioctl import call
from .machine import Machine
from .memory import Ram
from .vcpu import Vcpu

DESCRIPTION, RAM, FIRST_VCPU = 0, 1, 16  # tokens


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    acts = parser.add_subparsers(required=True, metavar="VERB")
    hold = acts.add_parser("hold", help="move a running labvmm's guest in; stays until killed")
    hold.add_argument("--vmm", type=Path, required=True, help="that labvmm's control socket")
    hold.add_argument("--cpus", type=int, nargs="+", required=True, help="one for each vCPU")
    hold.add_argument("--unpreserved", action="store_true", help="a control: vCPUs are not kept")
    hold.set_defaults(act=_hold)
    adopt = acts.add_parser("adopt", help="after the kexec: go on under KVM; stays")
    adopt.add_argument("--console", type=Path, required=True)
    adopt.set_defaults(act=_adopt)
    for one in (hold, adopt):
        one.add_argument("--session", required=True, help="of LUO")
        one.add_argument("--socket", type=Path, required=True, help="control socket to make")


def main(chosen: argparse.Namespace) -> Mapping[str, object]:
    """Do the verb that was asked for."""
    act: Callable[[argparse.Namespace], Mapping[str, object]] = chosen.act
    return act(chosen)


class Held:
    """A guest that lives with the caretaker, as long as this process does."""

    def __init__(self, vmm: Path, ram: int, vcpus: list[int]) -> None:
        self.ended = threading.Event()
        self._vmm = vmm
        self._ram = ram
        self._vcpus = vcpus

    def status(self, _: Asked) -> Reply:
        """Say what each vCPU does."""
        return Reply({"vcpus": [resident.seen(fd)._asdict() for fd in self._vcpus]})

    def fetch(self, _: Asked) -> Reply:
        """Give the RAM to who wants to look."""
        return Reply({"protected": False}, {"ram": self._ram})

    def cancel(self, _: Asked) -> Reply:
        """Stop all vCPUs, and have the VMM that they came from go on with them."""
        for fd in self._vcpus:
            resident.stop(fd)
        records = [given.as_text(resident.record(fd)) for fd in self._vcpus]
        control.ask(self._vmm, "take_back", {"records": records})
        self.ended.set()
        return Reply({"cancelled": len(records)})


def _hold(chosen: argparse.Namespace) -> Mapping[str, object]:
    said, fds = control.ask(chosen.vmm, "give")
    records = given.records_of(said.pop("records"))
    if len(records) != len(chosen.cpus):
        raise VmmError(f"{len(records)} vCPUs need as many --cpus, not {len(chosen.cpus)}")
    device = luo.open_device()
    session = luo.create(device, chosen.session)
    os.close(device)
    description = given.keep({k: v for k, v in said.items() if k not in {"ok", "fds"}})
    luo.preserve_fd(session, description, DESCRIPTION)
    luo.preserve_fd(session, fds["ram"], RAM)
    size = os.fstat(fds["ram"]).st_size
    vcpus = []
    for n, (one, cpu) in enumerate(zip(records, chosen.cpus, strict=True)):
        vcpus.append(resident.move_in(one, fds["ram"], size, cpu, len(records)))
        if not chosen.unpreserved:
            luo.preserve_fd(session, vcpus[n], FIRST_VCPU + n)
    held = Held(chosen.vmm, fds["ram"], vcpus)
    server = control.Server(
        chosen.socket, {"status": held.status, "fetch": held.fetch, "cancel": held.cancel}
    )
    signal.signal(signal.SIGTERM, lambda *_: held.ended.set())
    say({"state": "held", "session": chosen.session, **_me(), "socket": str(chosen.socket)})
    held.ended.wait()
    server.close()
    return {"state": "ended"}


def _adopt(chosen: argparse.Namespace) -> Mapping[str, object]:
    """Make all of a VM first: the vCPUs stop when they are retrieved, and not before."""
    device = luo.open_device()
    session = luo.retrieve(device, chosen.session)
    description = given.read(luo.retrieve_fd(session, DESCRIPTION))
    fd = luo.retrieve_fd(session, RAM)
    ram = memory.mapped_memfd(fd, os.fstat(fd).st_size)
    guest = _machine(description, ram, chosen.console)
    tsc = 0
    for n, vcpu in enumerate(guest.vcpus):
        one = resident.record(luo.retrieve_fd(session, FIRST_VCPU + n))
        say(
            {
                "vcpu": n,
                "exit": f"{one.exit_code:#x}",
                "entries": one.entries,
                "pc": hex(one.regs.rip),
            }
        )
        record.put(vcpu.fd, one)
        tsc = record.host_tsc(vcpu.fd, one)
    given.put_clock(guest.vm, description, tsc)
    luo.finish(session)
    os.close(device)
    control.remove_stale(chosen.socket)
    return verbs.live(guest, chosen.socket)


def _machine(description: Given, ram: Ram, console: Path) -> Machine:
    device = kvm.open_device()
    vm = call(device, kvm.Request.KVM_CREATE_VM, 0)
    driver = drivers.make(device, vm, consoles.appending(console), description.serial)
    memory.attach(vm, ram)
    driver.prepare_vm()
    given.put_devices(vm, description)
    run_size = call(device, kvm.Request.KVM_GET_VCPU_MMAP_SIZE)
    fds = [call(vm, kvm.Request.KVM_CREATE_VCPU, n) for n in range(description.vcpus)]
    vcpus = [Vcpu(fd, n, run_size, driver.exits) for n, fd in enumerate(fds)]
    return Machine(vm, ram, driver, vcpus, console=console)


def _me() -> dict[str, object]:
    return {"pid": os.getpid(), "start_time": procfs.start_time(os.getpid())}
