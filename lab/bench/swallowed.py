# SPDX-License-Identifier: Apache-2.0
"""What it costs to be swallowed, as ratios: one host, swallowed and released alternately."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from lab.caretaker.control import Caretaker
from lab.caretaker.probe_guest import counts_exits, run_small
from lab.caretaker.swallow_proof import require_caretaker
from lab.config.model import Arch, GuestKind, HostMode, HostSpec, VmmKind
from lab.deadline import Deadline
from lab.errors import UnavailableError
from lab.events import Step
from lab.guest.guest import GuestPlan
from lab.guest.vmms.table import driver_for
from lab.host.host import RunningHost, booted
from lab.resources.admission import alone
from lab.runner.lab_session import LabSession

ROUNDS = 5
KERNEL = "reference"
_TURN_S = 3600.0
_EXITS = 10_000

# The largest ratio that is aimed at; guests run on nested tables that the caretaker owns.
AIMS = {
    "files": 1.05,
    "fork": 1.05,
    "pipe": 1.05,
    "network": 1.05,
    "kvm_exit": 3.0,
    "l2_boot": 1.5,
}

_LOADED = ("files", "fork", "pipe", "network")

# Loads of a host, timed by its own clock. The two ends of a pipe or connection have a CPU each, or
# the scheduler would decide what is measured: a wake-up within a CPU, or an IPI between two.
_LOADS = """
import os, socket, sys, time
def files():
    for n in range(300):
        with open(f"/tmp/bench{n}", "wb") as file: file.write(b"x" * 4096)
    for n in range(300):
        with open(f"/tmp/bench{n}", "rb") as file: file.read()
        os.unlink(f"/tmp/bench{n}")
def fork():
    for _ in range(60):
        os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
def pipe():
    (a, b), (c, d) = os.pipe(), os.pipe()
    child = os.fork()
    os.sched_setaffinity(0, {0 if child else 1})
    for _ in range(1500):
        if child: os.write(b, b"x"); os.read(c, 1)
        else: os.read(a, 1); os.write(d, b"x")
    if not child: os._exit(0)
    os.waitpid(child, 0)
def network():
    with socket.create_server(("127.0.0.1", 0)) as server:
        child = os.fork()
        os.sched_setaffinity(0, {0 if child else 1})
        if child: end = server.accept()[0]
        else: end = socket.create_connection(server.getsockname())
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for _ in range(1000):
        if child: end.send(b"x"); end.recv(1)
        else: end.recv(1); end.send(b"x")
    if not child: os._exit(0)
    os.waitpid(child, 0)
os.sched_setaffinity(0, {0})
load = {"files": files, "fork": fork, "pipe": pipe, "network": network}[sys.argv[1]]
began = time.monotonic()
load()
print(time.monotonic() - began)
"""


def bench_swallowed(lab_session: LabSession, rounds: int = ROUNDS) -> dict[str, Any]:
    """Measure a host's loads, an exit that KVM serves and an L2's boot, natively and swallowed.

    Args:
        lab_session: A session.
        rounds: How often each is measured in either state.

    Returns:
        For JSON, by load: ratios, seconds and the caretaker's exits. Only "unavailable" with the
        reason, if the reference kernel has no caretaker.

    Raises:
        InfraError: The host did not come up, or the caretaker refused to swallow or release it.
    """
    spec = HostSpec(arch=Arch.X86_64, kernel=KERNEL)
    request = lab_session.lab.host_request("bench", "moved", spec, kernel=KERNEL)
    blueprint = lab_session.blueprint(request, request.role)
    try:
        require_caretaker(blueprint.kernel, HostMode.SWALLOWED)
    except UnavailableError as e:
        return {"unavailable": str(e)}
    plan = dataclasses.replace(blueprint, words=(*blueprint.words, "caretaker=ready"))
    with (
        alone(lab_session.state, Deadline.after(_TURN_S), what="bench"),
        booted(lab_session.connection, plan, lab_session.sink) as moved,
    ):
        return {"kernel_build_id": plan.kernel.build_id, **_in_turn(lab_session, moved, rounds)}


def _in_turn(lab_session: LabSession, host: RunningHost, rounds: int) -> dict[str, Any]:
    caretaker = Caretaker(host.session)
    found: dict[str, list[dict[str, float]]] = {"native": [], "swallowed": []}
    _measured(host)  # what is read for the first time is not in the page cache
    for turn in range(rounds):
        lab_session.sink(Step(what=f"round {turn + 1} of {rounds}: native and swallowed"))
        # Each goes first in every other round, so that what drifts falls on both.
        for swallowed in (False, True) if turn % 2 == 0 else (True, False):
            if swallowed:
                caretaker.swallow()
            found["swallowed" if swallowed else "native"].append(_measured(host))
            if swallowed:
                caretaker.release()
    exits = _exits(host, caretaker)
    return {"rounds": rounds, **{what: {**told(what, found), **exits[what]} for what in AIMS}}


def _exits(host: RunningHost, caretaker: Caretaker) -> dict[str, dict[str, Any]]:
    """Count why each load comes down to the caretaker: what its ratio is made of."""
    caretaker.swallow()
    found = {}
    for what, load in _WHAT.items():
        before = caretaker.counters()
        load(host)
        grown = {name: count - before[name] for name, count in caretaker.counters().items()}
        found[what] = {"exits": {k: n for k, n in grown.items() if n and k != "max_tsc"}}
    caretaker.release()
    return found


def told(what: str, found: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Compare a load's seconds in both states; pure.

    Args:
        what: The load's name, a key of `AIMS`.
        found: By state the seconds of each round, by load.

    Returns:
        The ratio of each round, their median, the aim, and whether it is met.
    """
    native, swallowed = ([one[what] for one in found[mode]] for mode in ("native", "swallowed"))
    ratios = [b / a for a, b in zip(native, swallowed, strict=True)]
    ratio = statistics.median(ratios)
    return {
        "swallowed_over_native": ratio,
        "aim": AIMS[what],
        "met": ratio <= AIMS[what],
        "each": ratios,
        "native_s": native,
        "swallowed_s": swallowed,
    }


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Summarize what `bench_swallowed` found, for people.

    Args:
        found: Its result.

    Returns:
        A line for each load: the median ratio, its range, and whether the aim is met.
    """
    if "unavailable" in found:
        yield f"swallowed: unavailable: {found['unavailable']}"
    for what in AIMS if "rounds" in found else ():
        one = found[what]
        least, most = min(one["each"]), max(one["each"])
        met = "met" if one["met"] else "missed"
        yield (
            f"swallowed over native, {what:8}: {one['swallowed_over_native']:.2f} "
            f"({least:.2f} to {most:.2f}), aim {one['aim']:g}: {met}"
        )


def _measured(host: RunningHost) -> dict[str, float]:
    return {what: load(host) for what, load in _WHAT.items()}


def _load(host: RunningHost, *, what: str) -> float:
    words = ["python3", "-I", "-c", _LOADS, what]
    return float(host.session.check(words, by=host.by_guest()))


def _exit(host: RunningHost) -> float:
    return run_small(host.session, counts_exits(_EXITS), host.by_guest()).seconds / _EXITS


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


_WHAT: Mapping[str, Callable[[RunningHost], float]] = {
    **{what: partial(_load, what=what) for what in _LOADED},
    "kvm_exit": _exit,
    "l2_boot": _boot,
}
