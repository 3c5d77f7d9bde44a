# SPDX-License-Identifier: Apache-2.0
"""`labvmm adopt`: become the owner of a guest whose VMM is gone, and resume where it stopped."""

from __future__ import annotations

import argparse
import ctypes
import errno
import mmap
import os
import select
import time
from collections.abc import Mapping
from pathlib import Path

from ..devices import console as consoles
from ..devices import journal as journals
from ..errors import VmmError
from ..kvm import async_run as kvm_async
from ..kvm.async_run import Owner
from ..machine import control, memory
from ..machine import driver as drivers
from ..machine.async_vcpu import AsyncVcpu
from ..machine.exits import ExitServer, Serve
from ..machine.machine import Machine, Orphanable
from ..machine.memory import Ram, RamKind
from ..state import handover
from ..state.handover import HandOver
from . import verbs

PATIENCE_S = 2.0
CLONE_NEWUSER = 0x10000000
AGAIN_S = 0.005
REASONS = {
    errno.EPERM: "this user is not the guest's first owner, and has no CAP_SYS_PTRACE there",
    errno.ESTALE: "another labvmm adopted it first",
    errno.EIO: "the VM is dead: its policy was to end with its owner",
    errno.EINVAL: "the VM was not made to be adopted",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments.

    Args:
        parser: The command's parser.
    """
    parser.add_argument("--keeper", type=Path, required=True, metavar="SOCKET")
    parser.add_argument("--socket", type=Path, required=True, help="control socket to make")
    parser.add_argument("--paused", action="store_true", help="do not let it run yet")
    parser.add_argument(
        "--patience-ms",
        type=float,
        default=PATIENCE_S * 1000,
        help="how long to wait for the last owner to be gone",
    )
    parser.add_argument(
        "--uid", type=int, help="be this user, once the keeper has passed all descriptors"
    )
    parser.add_argument(
        "--userns", action="store_true", help="be root of a user namespace of one's own"
    )


def main(chosen: argparse.Namespace, *, serve_one: Serve | None = None) -> Mapping[str, object]:
    """Fetch a guest, become its owner, and run it to its end.

    Args:
        chosen: The parsed arguments.
        serve_one: Serves one exit; a mutant brings its own.

    Returns:
        The command's answer, when the guest has ended.
    """
    description, fds = control.ask(chosen.keeper, "fetch")
    module = drivers.module()  # before another user's eyes cannot read it any more
    found = handover.read(description, fds, module.DEVICES)
    if chosen.uid is not None:
        os.setresuid(chosen.uid, chosen.uid, chosen.uid)
    if chosen.userns:
        _enter_user_namespace()
    become_owner(fds["vm"], chosen.patience_ms / 1000)
    guest = assemble(found, fds, chosen.keeper, serve_one)
    control.remove_stale(chosen.socket)
    return verbs.live(guest, chosen.socket, paused=chosen.paused)


def _enter_user_namespace() -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER) < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"unshare: {os.strerror(code)}")


def become_owner(vm: int, patience_s: float) -> None:
    """Become the owner of a VM; one that was killed may take a moment to be gone.

    Args:
        vm: The VM's descriptor.
        patience_s: How long to wait for the last owner's end, in seconds.

    Raises:
        VmmError: There is an owner, another adopter was first, or KVM refused; says which.
    """
    end = time.monotonic() + patience_s
    first = kvm_async.ownership(vm).generation
    while True:
        try:
            kvm_async.adopt(vm, first)
        except OSError as e:
            now = kvm_async.ownership(vm)
            if now.generation != first:
                raise VmmError(f"KVM_ADOPT: {REASONS[errno.ESTALE]}") from e
            if e.errno != errno.EBUSY:
                why = REASONS.get(e.errno or 0, "")
                raise VmmError(f"{e.strerror}{f': {why}' if why else ''}") from e
            if time.monotonic() >= end:
                lives = "lives" if now.owner is Owner.PRESENT else "is not quite gone"
                raise VmmError(f"{e.strerror}: its owner {lives}") from e
            select.select([], [], [], AGAIN_S)
        else:
            return


def assemble(
    found: HandOver, fds: Mapping[str, int], keeper: Path, serve_one: Serve | None = None
) -> Machine:
    """Assemble a machine from what the last owner left.

    Args:
        found: The description.
        fds: The descriptors by name.
        keeper: The keeper's control socket.
        serve_one: Serves one exit; the usual way if None.

    Returns:
        The machine; it is not served yet.

    Raises:
        VmmError: The guest runs elsewhere, or its device state has another version.
    """
    journal = journals.read(fds["state"], found.vcpus)
    if journal.handed_over:  # by an owner, and there was one until this process became it
        raise VmmError("the guest was handed over to the caretaker: adopted, it would run twice")
    write = consoles.journaled(fds["console"], journal)
    driver = drivers.make(-1, fds["vm"], write, journal.registers)
    server = ExitServer(driver.exits, journal, serve_one)
    orphanable = Orphanable(server, journal, fds["console"], found.policy, keeper)
    vcpus = [AsyncVcpu(fds[f"vcpu{n}"], n, found.run_size) for n in range(found.vcpus)]
    for vcpu in vcpus:
        vcpu.watch = orphanable.exits.watch
    return Machine(
        fds["vm"],
        _ram(found, fds["ram"]),
        driver,
        vcpus,
        console=found.console,
        protected=found.protected,
        orphanable=orphanable,
    )


def _ram(found: HandOver, fd: int) -> Ram:
    if found.protected:  # looking at its pages would take them away from the guest
        return Ram(RamKind.MEMFD, fd, found.ram_size, mmap.mmap(-1, mmap.PAGESIZE), found.ram_base)
    return memory.mapped(RamKind.GMEM, fd, found.ram_size)._replace(base=found.ram_base)
