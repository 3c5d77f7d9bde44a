# SPDX-License-Identifier: Apache-2.0
"""What it costs a guest to verify its RAM: its silences with and without, turn and turn about."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping
from typing import Any

from lab.config.matrix import GUEST_MEMORY_MIB
from lab.config.model import Arch, GuestKind, HostSpec, VmmKind
from lab.deadline import Deadline, pause
from lab.events import Step
from lab.guest.guest import GuestPlan
from lab.guest.vmms.table import driver_for
from lab.host.host import RunningHost, booted
from lab.observe.trail import Trail
from lab.resources.admission import alone
from lab.runner.lab_session import LabSession
from lab.runner.watch import watched
from lab.verdict.silence import beats, longest_gap

ROUNDS = 5
KERNEL = "stock"
WITHOUT = "beacon.ram=0"
_TURN_S = 3600.0
_SETTLE_S = 3.0  # the window of pages grows first
_WATCH_S = 6.0
_PAGES_IN_A_MIB = 256


def bench_beacon(lab_session: LabSession, rounds: int = ROUNDS) -> dict[str, Any]:
    """Measure the longest silence of each kind of guest, with its RAM verified and without.

    Args:
        lab_session: What to run on.
        rounds: How often each guest is started both ways.

    Returns:
        For each kind, what `told` says.

    Raises:
        InfraError: The host did not come up, or a guest did not beat.
    """
    spec = HostSpec(arch=Arch.X86_64, kernel=KERNEL)
    request = lab_session.lab.host_request("bench", "beating", spec, kernel=KERNEL)
    blueprint = lab_session.blueprint(request, request.role)
    with (
        alone(lab_session.state, Deadline.after(_TURN_S), what="bench"),
        booted(lab_session.connection, blueprint, lab_session.sink) as host,
    ):
        found: dict[str, Any] = {
            kind.value: told(list(_in_turn(lab_session, host, kind, rounds))) for kind in GuestKind
        }
    return {"rounds": rounds, "kernel_build_id": blueprint.kernel.build_id, **found}


def _in_turn(
    lab_session: LabSession, host: RunningHost, kind: GuestKind, rounds: int
) -> Iterator[tuple[dict[str, float], dict[str, float]]]:
    """Measure one guest both ways; each goes first in every other round."""
    for turn in range(rounds):
        lab_session.sink(Step(what=f"round {turn + 1} of {rounds}: a {kind} that verifies its RAM"))
        if turn % 2:
            without = _measured(lab_session, host, kind, WITHOUT)
            yield _measured(lab_session, host, kind), without
        else:
            with_ram = _measured(lab_session, host, kind)
            yield with_ram, _measured(lab_session, host, kind, WITHOUT)


def _measured(
    lab_session: LabSession, host: RunningHost, kind: GuestKind, *words: str
) -> dict[str, float]:
    plan = GuestPlan(
        name=f"bench-{time.monotonic_ns()}",
        kind=kind,
        vmm=VmmKind.LABVMM,
        memory_mib=GUEST_MEMORY_MIB[kind],
        words=words,
    )
    guest = driver_for(plan.vmm).start(host, plan, host.by_guest())
    try:
        with watched(guest, lab_session.lab.watch) as seen:
            pause(_SETTLE_S)
            window = seen.undisturbed(_WATCH_S)
            trail = seen.eye.found().trails[0]
    finally:
        guest.kill()
    return {
        "silence_ms": longest_gap(trail, window).ns / 1e6,
        "beats": beats(trail, window),
        "ram_mib_s": _verified(trail) / _PAGES_IN_A_MIB / (_SETTLE_S + _WATCH_S),
    }


def _verified(trail: Trail) -> int:
    return max(0, trail.verified[-1]) - max(0, trail.verified[0])


def told(found: list[tuple[dict[str, float], dict[str, float]]]) -> dict[str, Any]:
    """Put rounds together; pure.

    Args:
        found: Of each round, what was measured with RAM verified, and without.

    Returns:
        Medians of the longest silence in ms and of the beats, both ways, the median of the
        silences' ratios and each of them, and how many MiB were verified in a second.
    """
    ratios = [a["silence_ms"] / b["silence_ms"] for a, b in found]
    return {
        "with_over_without": statistics.median(ratios),
        "each": ratios,
        "ram_mib_s": statistics.median(a["ram_mib_s"] for a, _ in found),
        **{
            f"{what}_{how}": statistics.median(one[i][what] for one in found)
            for i, how in enumerate(("with", "without"))
            for what in ("silence_ms", "beats")
        },
    }


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Put what was found into words.

    Args:
        found: What bench_beacon() returned.

    Returns:
        A line for each kind of guest.
    """
    for kind in GuestKind:
        one = found[kind.value]
        least, most = min(one["each"]), max(one["each"])
        yield (
            f"longest silence with its RAM verified over without, {kind:7}: "
            f"{one['with_over_without']:.2f} ({least:.2f} to {most:.2f}), "
            f"{one['silence_ms_with']:.1f} ms over {one['silence_ms_without']:.1f} ms, "
            f"{one['ram_mib_s']:.1f} MiB/s"
        )
