# SPDX-License-Identifier: Apache-2.0
"""The moment at which a guest is struck, and the deed, done once."""

from __future__ import annotations

import random

from lab.config.model import Cell, DisruptionKind
from lab.deadline import pause
from lab.disruption.deliver import Deed
from lab.disruption.delivered import Delivered
from lab.guest.guest import RunningGuest
from lab.guest.vmms.protocol import Vmm
from lab.runner.course import Course
from lab.runner.watch import Watched, look_again

_LONGEST_S = 2.0


def strike(
    cell: Cell, guest: RunningGuest, driver: Vmm, seen: Watched, course: Course, *, deed: Deed
) -> Delivered:
    """Do the deed; a chaos cell's at a random moment.

    Args:
        cell: What is run.
        guest: The guest, which beats.
        driver: Its VMM.
        seen: The eye on it.
        course: Where to note when it was done, and that it was.
        deed: What to do.

    Returns:
        What was done, with its witness.

    Raises:
        InfraError: It could not be done, or the host did not come back.
    """
    if cell.options.chaos:
        moment_s = random.uniform(0, _LONGEST_S)  # noqa: S311 - no secret
        course.facts["struck_after_s"] = round(moment_s, 3)
        pause(moment_s)
    with course.phase("disruption"):
        course.struck_at = guest.host.console.mark().line
        seen.eye.mark(cell.disruption.value)
        course.delivered = delivered = deed(guest, driver, cell.options)
        if cell.disruption is DisruptionKind.CPR_TRANSFER:
            look_again(seen, delivered.guest)
    return delivered
