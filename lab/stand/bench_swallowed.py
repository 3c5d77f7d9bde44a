# SPDX-License-Identifier: Apache-2.0
"""What it costs to be swallowed, as ratios: one host, swallowed and released in turn."""

from __future__ import annotations

import dataclasses
import json
import statistics
import time
from typing import Any

from lab.deadline import Deadline
from lab.errors import UnavailableError
from lab.events import Step
from lab.machine.caretaker import Caretaker
from lab.machine.drivers import driver_for
from lab.machine.guest import GuestPlan
from lab.machine.host import RunningHost, booted
from lab.machine.small_guest import counts_exits, run_small
from lab.machine.swallowed import require_caretaker
from lab.spec.model import Arch, GuestKind, HostMode, VmmKind
from lab.stand.pool import Wish
from lab.stand.stand import Stand
from lab.virt.admission import alone

ROUNDS = 5
KERNEL = "reference"
_TURN_S = 3600.0
_EXITS = 10_000

# What is aimed at: guests run on nested tables that the caretaker owns.
AIMS = {"files": 1.05, "fork": 1.05, "pipe": 1.05, "kvm_exit": 3.0, "l2_boot": 1.5}

# Three loads of a host, each timed by its own clock.
_LOADS = """
import json, os, time
def files():
    for n in range(300):
        with open(f"/tmp/bench{n}", "wb") as file: file.write(b"x" * 4096)
    for n in range(300):
        with open(f"/tmp/bench{n}", "rb") as file: file.read()
        os.unlink(f"/tmp/bench{n}")
def fork():
    for _ in range(30):
        os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
def pipe():
    (a, b), (c, d) = os.pipe(), os.pipe()
    child = os.fork()
    for _ in range(1500):
        if child: os.write(b, b"x"); os.read(c, 1)
        else: os.read(a, 1); os.write(d, b"x")
    if not child: os._exit(0)
    os.waitpid(child, 0)
took = {}
for load in (files, fork, pipe):
    began = time.monotonic()
    load()
    took[load.__name__] = time.monotonic() - began
print(json.dumps(took))
"""


def bench_swallowed(stand: Stand, rounds: int = ROUNDS) -> dict[str, Any]:
    """Measure a host's loads, an exit that KVM serves and an L2's boot, natively and swallowed.

    Raises:
        InfraError: the host did not come up, or would not move.
    """
    host = stand.lab.host
    wish = Wish(
        topology="bench", role="moved", arch=Arch.X86_64, kernel=KERNEL, mode=HostMode.NATIVE,
        vcpus=host.vcpus, memory_mib=host.memory_mib,
    )  # fmt: skip
    blueprint = stand.blueprint(wish, "moved")
    try:
        require_caretaker(blueprint.kernel, HostMode.SWALLOWED)
    except UnavailableError as e:
        return {"unavailable": str(e)}
    plan = dataclasses.replace(blueprint, words=(*blueprint.words, "caretaker=ready"))
    with (
        alone(stand.state, Deadline.after(_TURN_S), what="bench"),
        booted(stand.connection, plan, stand.sink) as moved,
    ):
        return {"kernel_build_id": plan.kernel.build_id, **_in_turn(stand, moved, rounds)}


def _in_turn(stand: Stand, host: RunningHost, rounds: int) -> dict[str, Any]:
    caretaker = Caretaker(host.session)
    found: dict[str, list[dict[str, float]]] = {"native": [], "swallowed": []}
    _measured(host)  # what is read for the first time is not in the page cache
    for turn in range(rounds):
        stand.sink(Step(what=f"round {turn + 1} of {rounds}: native and swallowed"))
        # Each goes first in every other round, so that what drifts falls on both.
        for swallowed in (False, True) if turn % 2 == 0 else (True, False):
            if swallowed:
                caretaker.swallow()
            found["swallowed" if swallowed else "native"].append(_measured(host))
            if swallowed:
                caretaker.release()
    return {"rounds": rounds, **{what: told(what, found) for what in AIMS}}


def told(what: str, found: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Give the ratio of each round, their median, and what is aimed at; pure."""
    native, swallowed = ([one[what] for one in found[mode]] for mode in ("native", "swallowed"))
    ratios = [b / a for a, b in zip(native, swallowed, strict=True)]
    return {
        "swallowed_over_native": statistics.median(ratios),
        "aim": AIMS[what],
        "each": ratios,
        "native_s": native,
        "swallowed_s": swallowed,
    }


def _measured(host: RunningHost) -> dict[str, float]:
    by = host.by_guest()
    loads = json.loads(host.session.check(["python3", "-I", "-c", _LOADS], by=by))
    exits = run_small(host.session, counts_exits(_EXITS), host.by_guest())
    return {**loads, "kvm_exit": exits.seconds / _EXITS, "l2_boot": _boot(host)}


def _boot(host: RunningHost) -> float:
    """Boot a Linux L2 until it has said where its beacon is."""
    plan = GuestPlan(
        name=f"bench-{time.monotonic_ns()}",
        kind=GuestKind.LINUX,
        vmm=VmmKind.LABVMM,
        memory_mib=128,
    )
    began = time.monotonic()
    guest = driver_for(plan.vmm).start(host, plan, host.by_guest())
    guest.beacons(host.by_guest())
    took = time.monotonic() - began
    guest.kill()
    return took
