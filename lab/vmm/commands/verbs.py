# SPDX-License-Identifier: Apache-2.0
"""What a labvmm that runs a guest can be asked and told, and its life from start to end."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path

from ..cli import say
from ..errors import VmmError
from ..machine import control
from ..machine.control import Asked, Reply
from ..machine.machine import Machine
from ..machine.vcpu import Stop
from ..state import handover, handover_verbs

ITS_OWN = frozenset({"reset", "shutdown", "crash"})


def live(guest: Machine, socket: Path, *, paused: bool = False) -> Mapping[str, object]:
    """Run a guest until it ends, or this process is to go; says "running" once it does."""
    server = control.Server(socket, _verbs(guest))
    signal.signal(signal.SIGTERM, lambda *_: guest.ended.set())
    guest.start(paused=paused)
    say({**guest.status(), "socket": str(socket)})
    guest.ended.wait()
    server.close()
    # vCPU threads are daemons and may still be in the guest: leaving ends them
    if guest.released:
        return {"state": "released", "reason": "given up to whoever adopts it"}
    reason = guest.stop.reason if guest.stop else "told to quit"
    if ended_by_itself(guest.stop) and guest.lasting and guest.lasting.keeper:
        _drop(guest.lasting.keeper)
    return {"state": "ended", "reason": reason}


def ended_by_itself(stop: Stop | None) -> bool:
    """Say whether a guest needs no other owner; one that this labvmm failed may find a better."""
    return stop is not None and stop.kind in ITS_OWN


def _drop(keeper: Path) -> None:
    try:
        control.ask(keeper, "drop")
    except VmmError as e:
        say({"state": "ending", "warning": str(e)})


def _verbs(guest: Machine) -> control.Verbs:
    def status(_: Asked) -> Reply:
        return Reply(guest.status())

    def pause(asked: Asked) -> Reply:
        guest.pause()
        return status(asked)

    def resume(asked: Asked) -> Reply:
        guest.resume()
        return status(asked)

    def end(_: Asked) -> Reply:
        guest.ended.set()
        return Reply({"state": "ending"})

    def release(_: Asked) -> Reply:
        guest.release()
        guest.ended.set()
        return Reply({"state": "released"})

    def regs(_: Asked) -> Reply:
        return Reply({"vcpus": guest.registers()})

    def memslot(_: Asked) -> Reply:
        return Reply({"memslot": guest.try_memslot()})

    def fds(_: Asked) -> Reply:
        described = handover.describe(guest) if guest.lasting else {}
        return Reply({**guest.status(), **described}, guest.fds())

    return {
        "status": status,
        "pause": pause,
        "resume": resume,
        "quit": end,
        "release": release,
        "regs": regs,
        "fds": fds,
        "memslot": memslot,
        **handover_verbs.verbs(guest),
    }
