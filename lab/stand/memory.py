# SPDX-License-Identifier: Apache-2.0
"""Cells of scope memory: the guest is stopped, its RAM handed over a kexec, and compared."""

from __future__ import annotations

import re
import time

from lab.deadline import Deadline
from lab.disruption.deliver import DEEDS
from lab.errors import InfraError
from lab.machine.drivers import driver_for
from lab.machine.guest import GuestPlan, RunningGuest
from lab.machine.host import RunningHost
from lab.machine.luo import Held, hold, retrieved
from lab.spec.model import MemoryKind, Watch
from lab.stand.result import CellResult
from lab.stand.watch import begun, look_again
from lab.witness.evidence import Evidence, Limits, MemoryWitness
from lab.witness.judge import judge
from lab.witness.verdict import Scope

# What the kernel itself answers where it has no such memory, or no Live Update at all.
_REFUSED = re.compile(r"LIVEUPDATE_\w+: |'/dev/liveupdate' cannot be opened: No such file")


def judge_memory(plan: GuestPlan, host: RunningHost, watch: Watch, result: CellResult) -> None:
    """Stop the guest, digest its RAM, preserve it if the cell says so, disturb, digest again."""
    wanted = result.cell
    driver = driver_for(wanted.vmm)
    with begun(host, plan, watch, result) as (guest, seen, baseline):
        with result.phase("preserve"):
            seen.eye.mark("pause")
            driver.pause(guest, host.by_guest())
            before_at = time.monotonic()  # from here on, no beat may come
            held = _held(guest, preserve=wanted.options.memory is MemoryKind.LUO_MEMFD)
            look_again(seen, guest)  # preserving may have moved it out of the way of the scratch
        with result.phase("disruption"):
            seen.eye.mark(wanted.disruption.value)
            result.delivered = DEEDS[wanted.disruption](guest, driver, wanted.options)
        with result.phase("retrieve"):
            after = told(retrieved(host, held, Deadline.after(host.patience.command)))
            after_at = time.monotonic()
    result.found = seen.eye.found()
    result.facts |= {"digest_before": held.digest, "digest_after": after}
    result.verdict = judge(
        Evidence(
            trails=result.found.trails,
            expected_vcpus=wanted.vcpus,
            baseline=baseline,
            end=after_at,
            limits=Limits(patience=watch.patience_s),
            outside_eye=True,
            disruption=result.delivered.witness,
            scope=Scope.MEMORY,
            memory=MemoryWitness(
                before=held.digest, before_at=before_at, after=after, after_at=after_at
            ),
            voids=seen.jitter.voids,
        )
    )


def told(after: str) -> str:
    """Give what was said of the memory afterwards, if the kernel said it.

    Raises:
        InfraError: there is no digest, and not because the kernel refused: nothing is proven lost.
    """
    if not after or (after.startswith("nothing: ") and not _REFUSED.search(after)):
        raise InfraError(f"nobody could tell whether the memory is there: {after or 'no digest'}")
    return after


def _held(guest: RunningGuest, *, preserve: bool) -> Held:
    held = hold(guest, guest.host.by_guest(), preserve=preserve)
    if not held.digest:
        raise InfraError(f"the memory of {guest.plan.name} could not be digested")
    return held
