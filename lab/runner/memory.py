# SPDX-License-Identifier: Apache-2.0
"""Cells of scope memory: the guest is stopped, its RAM handed over a kexec, and compared.

Of one that is handed over whole, it is then seen whether it goes on.
"""

from __future__ import annotations

import re
import time

from lab.config.model import Watch
from lab.deadline import Deadline
from lab.disruption.deliver import DEEDS
from lab.errors import InfraError
from lab.guest.guest import GuestPlan
from lab.guest.handover.luo import MEMORY_HANDOVERS
from lab.guest.vmms.table import driver_for
from lab.host.host import RunningHost
from lab.observe.window import Window
from lab.runner.adoption import watched_on
from lab.runner.result import CellResult
from lab.runner.settling import settle
from lab.runner.watch import begun, look_again
from lab.verdict.evidence import Evidence, Limits, MemoryWitness
from lab.verdict.verdict import Scope

_LOOKS = 3
# What the kernel itself answers where it has no such memory, or no Live Update at all.
_REFUSED = re.compile(r"LIVEUPDATE_\w+: |'/dev/liveupdate' cannot be opened: No such file")


def judge_memory(plan: GuestPlan, host: RunningHost, watch: Watch, result: CellResult) -> None:
    """Stop the guest, digest its RAM, preserve it if the cell says so, disturb, digest again."""
    wanted = result.cell
    assert wanted.options.memory is not None  # noqa: S101
    driver, handover = driver_for(wanted.vmm), MEMORY_HANDOVERS[wanted.options.memory]
    resumed: Window | None = None
    with begun(driver, host, plan, watch, result) as (guest, seen, baseline):
        with result.phase("preserve"):
            handed = seen.eye.mark("pause")
            driver.pause(guest, host.by_guest())
            before_at = time.monotonic()  # from here on, no beat may come
            preserved = handover.preserve(guest, host.by_guest())
            look_again(seen, guest)  # preserving may have moved it out of the way of the scratch
        with result.phase("disruption"):
            seen.eye.mark(wanted.disruption.value)
            result.delivered = DEEDS[wanted.disruption](guest, driver, wanted.options)
        seen.eye.looked(_LOOKS, host.by_guest())
        still = time.monotonic()  # up to here, no beat may have come
        with result.phase(handover.verb):
            seen.eye.mark(handover.verb)
            recovered = handover.recover(guest, preserved, Deadline.after(host.patience.command))
            after, after_at = told(recovered.said), time.monotonic()
            seen.eye.mark(f"{handover.verb}d")
        if recovered.guest is None:
            still = after_at
        else:
            resumed = watched_on(recovered.guest, watch, "watch restored", result)
        result.facts |= {"digest_before": preserved.digest, "digest_after": after}
        witness = MemoryWitness(
            before=preserved.digest, before_at=before_at, after=after, after_at=after_at
        )
        struck = result.delivered.witness

        def known(end: float) -> Evidence:
            result.found = seen.eye.found()
            return Evidence(
                trails=result.found.trails,
                expected_vcpus=wanted.vcpus,
                baseline=baseline,
                end=end,
                limits=Limits(patience=watch.patience_s),
                outside_eye=True,
                disruption=struck,
                scope=Scope.MEMORY,
                memory=witness,
                handed=handed,
                voids=seen.jitter.voids,
            )

        settle(
            guest, seen, watch, result,
            known=known, end=still, resumed=resumed, why="its memory was preserved",
        )  # fmt: skip
    result.evidence = None  # it is a plot of beats, and of a guest that stood still there is none


def told(after: str) -> str:
    """Return what was said of the memory afterwards, if the kernel said it.

    Raises:
        InfraError: there is no digest, and not because the kernel refused: nothing is proven lost.
    """
    if not after or (after.startswith("nothing: ") and not _REFUSED.search(after)):
        raise InfraError(f"nobody could tell whether the memory is there: {after or 'no digest'}")
    return after
