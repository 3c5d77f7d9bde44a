# SPDX-License-Identifier: Apache-2.0
"""The verbs of a labvmm that runs a guest, and its life from start to end."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path

from ..cli import say
from ..errors import VmmError
from ..machine import control
from ..machine.control import Question, Reply
from ..machine.machine import Machine
from ..machine.vcpu import Stop
from ..state import handover, handover_verbs

ITS_OWN = frozenset({"reset", "shutdown", "crash"})


def live(guest: Machine, socket: Path, *, paused: bool = False) -> Mapping[str, object]:
    """Run a guest until it ends, or SIGTERM or `quit` comes; prints its status once it runs.

    Args:
        guest: The guest.
        socket: The control socket to make.
        paused: Start it paused.

    Returns:
        The command's answer: the end's state and reason.
    """
    server = control.Server(socket, _verbs(guest))
    signal.signal(signal.SIGTERM, lambda *_: guest.ended.set())
    guest.start(paused=paused)
    say({**guest.status(), "socket": str(socket)})
    guest.ended.wait()
    server.close()
    # vCPU threads are daemons and may still be in the guest: leaving ends them
    if guest.released:
        return {"state": "released", "reason": "released for an adopter"}
    reason = guest.stop.reason if guest.stop else "told to quit"
    if ended_by_itself(guest.stop) and guest.orphanable and guest.orphanable.keeper:
        _drop(guest.orphanable.keeper)
    return {"state": "ended", "reason": reason}


def ended_by_itself(stop: Stop | None) -> bool:
    """Return whether a guest needs no other owner; one that this labvmm failed may."""
    return stop is not None and stop.kind in ITS_OWN


def _drop(keeper: Path) -> None:
    try:
        control.ask(keeper, "drop")
    except VmmError as e:
        say({"state": "ending", "warning": str(e)})


def _verbs(guest: Machine) -> control.Verbs:
    def status(_: Question) -> Reply:
        return Reply(guest.status())

    def pause(question: Question) -> Reply:
        guest.pause()
        return status(question)

    def resume(question: Question) -> Reply:
        guest.resume()
        return status(question)

    def end(_: Question) -> Reply:
        guest.ended.set()
        return Reply({"state": "ending"})

    def release(_: Question) -> Reply:
        guest.release()
        guest.ended.set()
        return Reply({"state": "released"})

    def fds(_: Question) -> Reply:
        described = handover.describe(guest) if guest.orphanable else {}
        return Reply({**guest.status(), **described}, guest.fds())

    return {
        "status": status,
        "pause": pause,
        "resume": resume,
        "quit": end,
        "release": release,
        "regs": lambda _: Reply({"vcpus": guest.registers()}),
        "fds": fds,
        "memslot": lambda _: Reply({"memslot": guest.try_memslot()}),
        **handover_verbs.verbs(guest),
    }
