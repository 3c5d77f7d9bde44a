# SPDX-License-Identifier: Apache-2.0
"""`labvmm cycle`: adopt a guest and be killed, again and again, at random moments."""

from __future__ import annotations

import argparse
import os
import random
import select
import signal
from collections.abc import Mapping
from pathlib import Path

from ..commands import adopt
from ..devices import journal as journals
from ..errors import VmmError
from ..kvm import async_run as kvm_async
from ..machine import control
from ..machine import driver as drivers
from .mutants import MUTANTS

FAILED = 1
STDOUT, STDERR = 1, 2


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--keeper", type=Path, required=True, metavar="SOCKET")
    parser.add_argument("--socket", type=Path, required=True, help="adopters' control socket")
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--most-ms", type=float, default=200, help="how long one may live")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mutant", choices=sorted(MUTANTS), help="serve exits wrongly")


def main(chosen: argparse.Namespace) -> Mapping[str, object]:
    """Adopt the guest and be killed, again and again; some adopters die before they own it.

    Raises:
        VmmError: An adopter ended by itself; its reason is on stderr.
    """
    moments = random.Random(chosen.seed)  # noqa: S311 - to be repeatable
    description, fds = control.ask(chosen.keeper, "fetch")
    drivers.module()  # before the forks, which would each take their time for it
    vcpus = int(str(description["vcpus"]))
    before, first = kvm_async.ownership(fds["vm"]), journals.read(fds["state"], vcpus).served
    for number in range(chosen.count):
        if not _adopt_and_kill(chosen, moments.uniform(0, chosen.most_ms) / 1000):
            raise VmmError(f"adopter {number + 1} of {chosen.count} ended by itself")
    after, last = kvm_async.ownership(fds["vm"]), journals.read(fds["state"], vcpus).served
    return {
        "cycles": chosen.count,
        "seed": chosen.seed,
        "adoptions": after.generation - before.generation,
        "owner": after.owner.name,
        "exits": [b - a for a, b in zip(first, last, strict=True)],
    }


def _adopt_and_kill(chosen: argparse.Namespace, seconds: float) -> bool:
    """Let an adopter live for a while and kill it; return whether it had to be killed."""
    child = os.fork()
    if child == 0:
        _adopt(chosen)
    alive = os.pidfd_open(child)
    select.select([alive], [], [], seconds)
    os.close(alive)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def _adopt(chosen: argparse.Namespace) -> None:
    """Be an adopter, in a process of its own that loads nothing any more."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)
        parser = argparse.ArgumentParser()
        adopt.arguments(parser)
        arguments_ = ["--keeper", str(chosen.keeper), "--socket", str(chosen.socket)]
        adopt.main(parser.parse_args(arguments_), serve_one=MUTANTS.get(chosen.mutant))
    except BaseException as e:  # noqa: BLE001 - a child must not go on as its parent
        os.write(STDERR, f"labvmm cycle: {e}\n".encode())
    finally:
        os._exit(FAILED)
