# SPDX-License-Identifier: Apache-2.0
"""`labvmm keep`: keeps a guest's descriptors, so that it lives while no VMM does.

It maps nothing, asks KVM nothing, and does not interpret what it keeps. Any process of the same
user can fetch all of it.
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
from ..errors import VmmError
from ..machine import control

DESCRIPTION_KEY = "magic"  # a description without it is none


class Keeper:
    """One guest's descriptors and their description, or nothing yet."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self._description: dict[str, object] = {}
        self._fds: dict[str, int] = {}
        self._lock = threading.Lock()

    def deposit(self, question: control.Question) -> control.Reply:
        """Take a guest's descriptors, and keep them open.

        Args:
            question: The hand-over: its description, and all descriptors.

        Returns:
            The names of the descriptors.

        Raises:
            VmmError: There is a guest here already, or what came is no hand-over.
        """
        description = {k: v for k, v in question.content.items() if k != "verb"}
        if DESCRIPTION_KEY not in description or not question.fds:
            raise VmmError("the deposit is no hand-over: it has no description or no descriptors")
        with self._lock:
            if self._fds:
                raise VmmError("this keeper has a guest", hint="start another: labvmm keep")
            self._description, self._fds = description, dict(question.fds)
            question.fds.clear()
        return control.Reply({"descriptors": sorted(self._fds)})

    def fetch(self, question: control.Question) -> control.Reply:
        """Pass on all descriptors of the guest, and keep them open.

        Args:
            question: Has nothing.

        Returns:
            The description that came with them, and the descriptors.

        Raises:
            VmmError: There is no guest here.
        """
        if not self._fds:
            raise VmmError(
                "this keeper has no guest", hint="labvmm run --orphanable --keeper brings it one"
            )
        return control.Reply(self._description, self._fds)

    def status(self, question: control.Question) -> control.Reply:
        """Return the guest's description, and which descriptors there are.

        Args:
            question: Has nothing.

        Returns:
            Both.
        """
        return control.Reply({"descriptors": sorted(self._fds), "description": self._description})

    def drop(self, question: control.Question) -> control.Reply:
        """Close all of it, and end; a guest without a VMM ends with it.

        Args:
            question: Has nothing.

        Returns:
            The names of the descriptors that are closed.
        """
        self.ended.set()
        return control.Reply({"dropped": sorted(self._fds)})


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--socket", type=Path, required=True, help="control socket to make")
    parser.add_argument(
        "--also-from", type=Path, metavar="SOCKET", help="hold what this keeper holds, too"
    )
    parser.add_argument(
        "--without", nargs="*", default=[], metavar="NAME", help="of those, leave these out"
    )


def main(chosen: argparse.Namespace) -> Mapping[str, object]:
    """Keep a guest until `drop` or SIGTERM."""
    keeper = Keeper()
    if chosen.also_from:
        description, fds = control.ask(chosen.also_from, "fetch")
        for name in chosen.without:
            os.close(fds.pop(name))
        keeper.deposit(control.Question(_bare(description), fds))
    return serve(keeper, chosen.socket)


def serve(keeper: Keeper, socket: Path) -> Mapping[str, object]:
    """Answer for a keeper until `drop` or SIGTERM.

    Args:
        keeper: Has the guest, or will have it.
        socket: The control socket to make.

    Returns:
        The command's answer.
    """
    verbs: control.Verbs = {
        "deposit": keeper.deposit,
        "fetch": keeper.fetch,
        "status": keeper.status,
        "drop": keeper.drop,
    }
    server = control.Server(socket, verbs)
    signal.signal(signal.SIGTERM, lambda *_: keeper.ended.set())
    me = os.getpid()
    ready = {"state": "ready", "pid": me, "start_time": procfs.start_time(me)}
    say({**ready, "socket": str(socket)})
    keeper.ended.wait()
    server.close()
    return {"state": "ended"}


def _bare(answer: Mapping[str, object]) -> dict[str, object]:
    """Take the wire's own words out of an answer."""
    return {k: v for k, v in answer.items() if k not in {"ok", "fds"}}
