# SPDX-License-Identifier: Apache-2.0
"""Cells of scope memory: the guest is stopped, its RAM handed over a kexec, and compared.

Of one that is handed over whole, it is then seen whether it goes on.
"""

from __future__ import annotations

import re
import time
from dataclasses import replace

from lab.config.model import Cell, Watch
from lab.deadline import Deadline
from lab.disruption.deliver import DEEDS
from lab.errors import InfraError
from lab.guest.guest import GuestPlan
from lab.guest.handover.luo import MEMORY_HANDOVERS
from lab.guest.vmms.table import driver_for
from lab.host.host import RunningHost
from lab.observe.window import Window
from lab.runner.course import Course
from lab.runner.settling import known_of, settle
from lab.runner.watch import begun, look_again, watched_on
from lab.verdict.evidence import MemoryWitness
from lab.verdict.verdict import Scope

_LOOKS = 3
# What the kernel itself answers where it has no such memory, or no Live Update at all.
_REFUSED = re.compile(r"LIVEUPDATE_\w+: |'/dev/liveupdate' cannot be opened: No such file")


def judge_memory(
    cell: Cell, plan: GuestPlan, host: RunningHost, watch: Watch, course: Course
) -> None:
    """Stop the guest, digest its RAM, preserve it if the cell says so, disturb, digest again.

    There is no plot of a guest that was stopped, so no evidence is noted for one.

    Args:
        cell: What to run.
        plan: Its guest.
        host: Its host.
        watch: How long to look, and how often.
        course: Where to note how far it came.

    Raises:
        InfraError: The lab broke, or whether the memory is there cannot be told.
    """
    assert cell.options.memory is not None  # noqa: S101
    driver, handover = driver_for(cell.vmm), MEMORY_HANDOVERS[cell.options.memory]
    resumed: Window | None = None
    with begun(driver, host, plan, watch, course) as (guest, seen, baseline):
        with course.phase("preserve"):
            handed = seen.eye.mark("pause")
            driver.pause(guest, host.by_guest())
            before_at = time.monotonic()  # from here on, no beat may come
            preserved = handover.preserve(guest, host.by_guest())
            look_again(seen, guest)  # its pages may have been migrated out of KHO's scratch memory
        with course.phase("disruption"):
            seen.eye.mark(cell.disruption.value)
            course.delivered = delivered = DEEDS[cell.disruption](guest, driver, cell.options)
        seen.eye.looked(_LOOKS, host.by_guest())
        still = time.monotonic()  # up to here, no beat may have come
        with course.phase(handover.verb):
            seen.eye.mark(handover.verb)
            recovered = handover.recover(guest, preserved, Deadline.after(host.patience.command))
            after, after_at = told(recovered.said), time.monotonic()
            seen.eye.mark(f"{handover.verb}d")
        if recovered.guest is None:
            still = after_at
        else:
            resumed = watched_on(recovered.guest, watch, "watch restored", course)
        course.facts |= {"digest_before": preserved.digest, "digest_after": after}
        known = replace(
            known_of(cell, watch, baseline, delivered),
            end=still,
            scope=Scope.MEMORY,
            memory=MemoryWitness(
                before=preserved.digest, before_at=before_at, after=after, after_at=after_at
            ),
            handed=handed,
        )
        settle(guest, seen, watch, known, course, resumed=resumed, why="its memory was preserved")


def told(after: str) -> str:
    """Return what was said of the memory afterwards, if the kernel said it.

    Args:
        after: A digest in hex, or "nothing: " and a reason.

    Returns:
        The same.

    Raises:
        InfraError: There is no digest, and not because the kernel refused: nothing is proven lost.
    """
    if not after or (after.startswith("nothing: ") and not _REFUSED.search(after)):
        raise InfraError(f"whether the memory is there cannot be told: {after or 'no digest'}")
    return after
