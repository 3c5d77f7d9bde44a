# SPDX-License-Identifier: Apache-2.0
"""`labvmm pretend`: an adopter that never asks KVM, or a keeper that passes on too little.

Mutants of a VMM: what either says of itself is as right as can be.
"""

from __future__ import annotations

import argparse
import os
import signal
import threading
from collections.abc import Mapping
from pathlib import Path

from .. import procfs
from ..cli import say
from ..commands import keep
from ..errors import VmmError
from ..machine import control

ADOPTER, KEEPER = "adopter", "keeper"
FORGOTTEN = "vcpu1"


class Forgetful(keep.Keeper):
    """Keeps all descriptors, and does not pass on that of one vCPU."""

    def fetch(self, question: control.Question) -> control.Reply:
        """Pass on all descriptors but one.

        Raises:
            VmmError: There is no guest here.
        """
        description, fds = super().fetch(question)
        return control.Reply(description, {n: fd for n, fd in fds.items() if n != FORGOTTEN})


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("role", choices=(ADOPTER, KEEPER))
    parser.add_argument("--keeper", type=Path, metavar="SOCKET", help="of the guest, to an adopter")
    parser.add_argument("--socket", type=Path, required=True, help="control socket to make")


def main(chosen: argparse.Namespace) -> Mapping[str, object]:
    """Be one or the other, to SIGTERM.

    Raises:
        VmmError: An adopter was not told of a keeper, or that has no guest.
    """
    if chosen.role == KEEPER:
        return keep.serve(Forgetful(), chosen.socket)
    if chosen.keeper is None:
        raise VmmError("an adopter wants --keeper SOCKET")
    return _adopt_nothing(chosen.keeper, chosen.socket)


def _adopt_nothing(keeper: Path, socket: Path) -> Mapping[str, object]:
    """Fetch all descriptors and say that the guest runs, which may even be so: it runs alone."""
    control.ask(keeper, "fetch")
    control.remove_stale(socket)
    ended = threading.Event()
    me = os.getpid()
    status = {"state": "running", "pid": me, "start_time": procfs.start_time(me)}

    def end(_: control.Question) -> control.Reply:
        ended.set()
        return control.Reply({"state": "ending"})

    verbs: control.Verbs = {"status": lambda _: control.Reply(status), "quit": end}
    server = control.Server(socket, verbs)
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    say({**status, "socket": str(socket)})
    ended.wait()
    server.close()
    return {"state": "ended", "reason": "told to quit"}
