# SPDX-License-Identifier: Apache-2.0
"""`labvmm resident`: a guest resident with the caretaker, over its VMM's end and a kexec."""

from __future__ import annotations

import argparse
import os
import signal
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from .. import procfs
from ..cli import say
from ..errors import VmmError
from ..machine import control
from ..machine.control import Question, Reply
from ..state import caretaker, liveupdate, vm_x86
from ..state.vcpu_record import Record
from . import resident_adopt
from .resident_adopt import DESCRIPTION, FIRST_VCPU, RAM, Adoption

STOPPED = caretaker.NAMES[3]
HALT = "stay at this phase until SIGUSR1: to be killed there"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    acts = parser.add_subparsers(required=True, metavar="VERB")
    move = acts.add_parser("move-in", help="make a running labvmm's guest resident; stays")
    move.add_argument("--unpreserved", action="store_true", help="a control: LUO gets no vCPU")
    move.set_defaults(act=_move_in)
    cycle = acts.add_parser("cycle", help="make it resident and cancel that, again and again")
    cycle.add_argument("--count", type=int, default=100)
    cycle.add_argument("--ms", type=float, default=20, help="how long it is resident each time")
    cycle.set_defaults(act=_cycle, unpreserved=False, halt_at=None)
    for one in (move, cycle):
        one.add_argument("--vmm", type=Path, required=True, help="that labvmm's control socket")
        one.add_argument("--cpus", type=int, nargs="+", required=True, help="one for each vCPU")
    adopt = acts.add_parser("adopt", help="after the kexec: resume it under KVM; stays")
    adopt.add_argument("--console", type=Path, required=True)
    adopt.add_argument(
        "--keeper",
        type=Path,
        metavar="SOCKET",
        help="the keeper of a guest that may lose this VMM too",
    )
    adopt.set_defaults(act=_adopt)
    for one in (move, cycle, adopt):
        one.add_argument("--session", required=True, help="of LUO")
    for one in (move, adopt):
        one.add_argument("--socket", type=Path, required=True, help="control socket to make")
    move.add_argument("--halt-at", choices=("handed-over", "memory", "moved"), help=HALT)
    adopt.add_argument("--halt-at", choices=("session", "memory", "vcpus"), help=HALT)


def main(chosen: argparse.Namespace) -> Mapping[str, object]:
    """Run the chosen verb."""
    act: Callable[[argparse.Namespace], Mapping[str, object]] = chosen.act
    return act(chosen)


class HandBack(NamedTuple):
    """How many vCPUs a VMM got back, and how often they were entered while resident."""

    vcpus: int
    entries: int


class ResidentGuest:
    """A guest that is resident with the caretaker, as long as this process lives."""

    def __init__(self, vmm: Path, ram: int, vcpus: list[int]) -> None:
        self.ended = threading.Event()
        self.vcpus = vcpus
        self._vmm = vmm
        self._ram = ram

    def move_in(self, records: list[Record], cpus: list[int]) -> None:
        """Make each vCPU resident on one of these CPUs.

        Args:
            records: The vCPUs by index.
            cpus: As many CPUs.

        Raises:
            VmmError: There are not as many CPUs as vCPUs.
        """
        if len(records) != len(cpus):
            raise VmmError(f"{len(records)} vCPUs need as many --cpus, not {len(cpus)}")
        size = os.fstat(self._ram).st_size
        for one, cpu in zip(records, cpus, strict=True):
            self.vcpus.append(caretaker.move_in(one, self._ram, size, cpu, len(records)))

    def stop(self, _: Question | None = None) -> Reply:
        """Take the resident vCPUs off their CPUs; their state stays as it is then."""
        for fd in self.vcpus:
            if caretaker.status(fd).state != STOPPED:
                caretaker.stop(fd)
        return Reply({"stopped": len(self.vcpus)})

    def hand_back(self, records: list[Record]) -> HandBack:
        """Stop the resident vCPUs, and have the VMM resume all.

        Args:
            records: The state of those that are not resident, by index.

        Returns:
            How many vCPUs the VMM got back, and their entries.
        """
        self.stop()
        now = [caretaker.record(fd) for fd in self.vcpus]
        texts = [vm_x86.record_as_text(one) for one in (*now, *records[len(now) :])]
        control.ask(self._vmm, "hand_back", {"records": texts})
        return HandBack(len(texts), sum(one.entries for one in now))

    def close(self) -> None:
        """Close all descriptors."""
        for fd in (self._ram, *self.vcpus):
            os.close(fd)

    def status(self, _: Question) -> Reply:
        """Return each vCPU's status."""
        return Reply({"vcpus": [caretaker.status(fd)._asdict() for fd in self.vcpus]})

    def fetch(self, _: Question) -> Reply:
        """Return the RAM's descriptor, for a look at it."""
        return Reply({"protected": False}, {"ram": self._ram})

    def cancel(self, _: Question) -> Reply:
        """Stop all vCPUs, and have the VMM that they came from resume them."""
        gone = self.hand_back([])
        self.ended.set()
        return Reply({"cancelled": gone.vcpus})


def _move_in(chosen: argparse.Namespace) -> Mapping[str, object]:
    guest = _moved_in(chosen, _session(chosen))
    server = control.Server(
        chosen.socket,
        {"status": guest.status, "fetch": guest.fetch, "stop": guest.stop, "cancel": guest.cancel},
    )
    signal.signal(signal.SIGTERM, lambda *_: guest.ended.set())
    say({"state": "resident", "session": chosen.session, **_me(), "socket": str(chosen.socket)})
    guest.ended.wait()
    server.close()
    return {"state": "ended"}


def _cycle(chosen: argparse.Namespace) -> Mapping[str, object]:
    """Make the guest resident and cancel that, again and again; count its entries meanwhile."""
    entries, fds = 0, _open_files()
    for _ in range(chosen.count):
        session = _session(chosen)
        guest = _moved_in(chosen, session)
        guest.ended.wait(chosen.ms / 1000)
        entries += guest.hand_back([]).entries
        guest.close()
        os.close(session)
    return {"cycles": chosen.count, "entries": entries, "fds": [fds, _open_files()]}


def _session(chosen: argparse.Namespace) -> int:
    device = liveupdate.open_device()
    session = liveupdate.create(device, chosen.session)
    os.close(device)
    return session


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _moved_in(chosen: argparse.Namespace, session: int) -> ResidentGuest:
    """Make all of a guest resident; if any of that is refused, its VMM resumes it."""
    description, fds = control.ask(chosen.vmm, "hand_over")
    records = vm_x86.parse_records(description.pop("records"))
    guest = ResidentGuest(chosen.vmm, fds["ram"], [])
    try:
        _halt(chosen, "handed-over")
        memfd = liveupdate.in_memfd(
            {k: v for k, v in description.items() if k not in {"ok", "fds"}}, vm_x86.MAGIC
        )
        liveupdate.preserve_fd(session, memfd, DESCRIPTION)
        os.close(memfd)
        liveupdate.preserve_fd(session, fds["ram"], RAM)
        _halt(chosen, "memory")
        guest.move_in(records, chosen.cpus)
        _halt(chosen, "moved")
        for n, vcpu in enumerate([] if chosen.unpreserved else guest.vcpus):
            liveupdate.preserve_fd(session, vcpu, FIRST_VCPU + n)
    except (OSError, VmmError):
        guest.hand_back(records)
        raise
    return guest


def _halt(chosen: argparse.Namespace, phase: str) -> None:
    """Stay at this phase until SIGUSR1: a disruption kills the process there."""
    if chosen.halt_at == phase:
        signal.signal(signal.SIGUSR1, lambda *_: None)
        say({"state": "halted", "phase": phase, **_me()})
        signal.pause()


def _adopt(chosen: argparse.Namespace) -> Mapping[str, object]:
    """Resume what the previous kernel preserved; see `resident_adopt`."""
    wanted = Adoption(chosen.session, chosen.console, chosen.socket, chosen.keeper)
    return resident_adopt.adopt(wanted, lambda phase: _halt(chosen, phase))


def _me() -> dict[str, object]:
    return {"pid": os.getpid(), "start_time": procfs.start_time(os.getpid())}
