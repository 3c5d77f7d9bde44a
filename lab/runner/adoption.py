# SPDX-License-Identifier: Apache-2.0
"""What follows when a guest that can be orphaned has lost its VMM: adopted, and watched on."""

from __future__ import annotations

import time
from dataclasses import dataclass

from lab.config.model import OrphanPolicy, Watch
from lab.deadline import Deadline
from lab.guest.guest import RunningGuest
from lab.guest.handover.protocol import Orphaning
from lab.observe.window import Window
from lab.runner.course import Course
from lab.runner.watch import Watched, watched_on
from lab.verdict.evidence import ParkedClaim
from lab.verdict.problem import Problem, ProblemKind


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a guest after it was struck.

    Attributes:
        guest: The guest, under whichever VMM it has in the end.
        end: When the time ended that is judged, on L0's clock.
        parked: What its kernel claims, if it is parked.
        resumed: The stretch after its adoption, if it was parked before.
        adopted: When another VMM had it, on L0's clock, if it ran on until then.
    """

    guest: RunningGuest
    end: float
    parked: ParkedClaim | None = None
    resumed: Window | None = None
    adopted: float | None = None


def see_through(
    guest: RunningGuest,
    handover: Orphaning,
    *,
    policy: OrphanPolicy,
    watch: Watch,
    seen: Watched,
    course: Course,
) -> Fate:
    """See an orphan through: status, proof from L0, adoption if its policy has one, another watch.

    Its kernel, not the new VMM, is asked whether it was adopted.

    Args:
        guest: The orphan.
        handover: The ABI.
        policy: What its vCPUs do while it has no VMM.
        watch: For how long to watch it on.
        seen: The eye on it.
        course: Where to note what was seen, and what is wrong.

    Returns:
        What became of it.

    Raises:
        InfraError: Its status cannot be read, it cannot be adopted, or its adopter ended.
    """
    end = time.monotonic()
    if policy is OrphanPolicy.KILL:
        return Fate(guest, end)
    patience_s = guest.host.patience.command
    status = handover.status(guest, Deadline.after(patience_s))
    course.facts["orphan"] = str(status)
    claim = status.claim if policy is OrphanPolicy.PARK else None
    if not status.vcpus or (policy is OrphanPolicy.PARK and claim is None):
        return Fate(guest, end)  # there is no guest to adopt, or not one that was parked as ordered
    proof = handover.verify_from_l0(guest, seen.eye.pages, Deadline.after(patience_s))
    course.facts |= {"held": proof.seen, "held_method": proof.method.value}
    with course.phase("adopt"):
        seen.eye.mark("adopt")
        guest = handover.adopt(guest, Deadline.after(patience_s))
        adopted = seen.eye.mark("adopted")
    course.facts["adopted_by"] = guest.vmm.pid
    now = handover.status(guest, Deadline.after(patience_s))
    faults = filter(None, (proof.fault, now.not_adopted_since(status)))
    course.problems += [Problem(ProblemKind.PRODUCT, fault) for fault in faults]
    stretch = watched_on(guest, watch, "watch adopted", course)
    if claim:
        return Fate(guest, end, claim, stretch)
    return Fate(guest, stretch.ended, adopted=adopted)
