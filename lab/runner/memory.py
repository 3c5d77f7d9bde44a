# SPDX-License-Identifier: Apache-2.0
"""Cells of scope memory: the guest is stopped, its RAM handed over a kexec, and compared.

Of one that is handed over whole, it is then seen whether it goes on.
"""

from __future__ import annotations

import re
import time
from dataclasses import replace

from lab.config.model import MemoryKind, Watch
from lab.deadline import Deadline, until
from lab.disruption.deliver import DEEDS
from lab.errors import InfraError
from lab.guest.guest import GuestPlan, RunningGuest
from lab.guest.handover.luo import Held, hold, restored, retrieved
from lab.guest.vmms.table import driver_for
from lab.host.host import RunningHost
from lab.observe.window import Window
from lab.runner.adoption import goes_on, gone_on
from lab.runner.result import CellResult
from lab.runner.watch import Watched, begun, look_again
from lab.verdict.evidence import Evidence, Limits, MemoryWitness
from lab.verdict.judge import judge
from lab.verdict.problem import ProblemKind
from lab.verdict.verdict import Scope

_LOOKS = 3
# What the kernel itself answers where it has no such memory, or no Live Update at all.
_REFUSED = re.compile(r"LIVEUPDATE_\w+: |'/dev/liveupdate' cannot be opened: No such file")


def judge_memory(plan: GuestPlan, host: RunningHost, watch: Watch, result: CellResult) -> None:
    """Stop the guest, digest its RAM, preserve it if the cell says so, disturb, digest again."""
    wanted = result.cell
    driver, resumed = driver_for(wanted.vmm), None
    with begun(driver, host, plan, watch, result) as (guest, seen, baseline):
        with result.phase("preserve"):
            seen.eye.mark("pause")
            driver.pause(guest, host.by_guest())
            before_at = time.monotonic()  # from here on, no beat may come
            held = _held(guest, wanted.options.memory)
            look_again(seen, guest)  # preserving may have moved it out of the way of the scratch
        with result.phase("disruption"):
            seen.eye.mark(wanted.disruption.value)
            result.delivered = DEEDS[wanted.disruption](guest, driver, wanted.options)
        _look(seen, host.by_guest())
        still = time.monotonic()  # up to here, no beat may have come
        if wanted.options.memory is MemoryKind.LUO_GUEST:
            after, after_at, resumed = _gone_on(guest, held, watch, seen, result)
        else:
            with result.phase("retrieve"):
                after = told(retrieved(host, held, Deadline.after(host.patience.command)))
                still = after_at = time.monotonic()
    result.found = seen.eye.found()
    result.facts |= {"digest_before": held.digest, "digest_after": after}
    evidence = Evidence(
        trails=result.found.trails,
        expected_vcpus=wanted.vcpus,
        baseline=baseline,
        end=still,
        limits=Limits(patience=watch.patience_s),
        outside_eye=True,
        disruption=result.delivered.witness,
        scope=Scope.MEMORY,
        memory=MemoryWitness(
            before=held.digest, before_at=before_at, after=after, after_at=after_at
        ),
        voids=seen.jitter.voids,
    )
    result.verdict = judge(evidence)
    if resumed:
        again = replace(evidence, scope=Scope.RUNNING, memory=None)
        result.add(ProblemKind.PRODUCT, goes_on(again, resumed))


def _look(seen: Watched, by: Deadline) -> None:
    """Wait until L0 has seen the memory as it lies there now."""
    before = seen.eye.found().sight.looks

    def looked() -> bool | None:
        return seen.eye.found().sight.looks >= before + _LOOKS or None

    until("the eye to look", looked, by)


def _gone_on(
    guest: RunningGuest, held: Held, watch: Watch, seen: Watched, result: CellResult
) -> tuple[str, float, Window | None]:
    """Have a VMM go on with the guest, and watch it; give the digest, when, and that stretch."""
    with result.phase("restore"):
        seen.eye.mark("restore")
        said, again = restored(guest, held, Deadline.after(guest.host.patience.command))
        after, at = told(said), time.monotonic()
        seen.eye.mark("restored")
    if again is None:
        return after, at, None
    return after, at, gone_on(again, watch, "watch restored", result)


def told(after: str) -> str:
    """Give what was said of the memory afterwards, if the kernel said it.

    Raises:
        InfraError: there is no digest, and not because the kernel refused: nothing is proven lost.
    """
    if not after or (after.startswith("nothing: ") and not _REFUSED.search(after)):
        raise InfraError(f"nobody could tell whether the memory is there: {after or 'no digest'}")
    return after


def _held(guest: RunningGuest, memory: MemoryKind | None) -> Held:
    preserve, whole = memory is not MemoryKind.MEMFD, memory is MemoryKind.LUO_GUEST
    held = hold(guest, guest.host.by_guest(), preserve=preserve, whole=whole)
    if not held.digest:
        raise InfraError(f"the memory of {guest.plan.name} could not be digested")
    return held
