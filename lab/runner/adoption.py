# SPDX-License-Identifier: Apache-2.0
"""What follows when a guest that can be orphaned has lost its VMM: adopted, and watched on."""

from __future__ import annotations

import time
from dataclasses import dataclass

from lab.config.model import OrphanPolicy, Watch
from lab.deadline import Deadline, pause
from lab.errors import InfraError
from lab.guest.guest import RunningGuest
from lab.guest.handover.protocol import Orphaning, OrphanStatus
from lab.observe.window import Window
from lab.runner.result import CellResult
from lab.runner.watch import Watched
from lab.verdict.evidence import ParkedClaim
from lab.verdict.problem import ProblemKind


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a guest after it was struck.

    Attributes:
        guest: It, as it is in the end.
        end: When the time ended that is judged.
        parked: What its kernel claims, if it is parked.
        resumed: The stretch after its adoption, if it was parked before.
    """

    guest: RunningGuest
    end: float
    parked: ParkedClaim | None = None
    resumed: Window | None = None


def see_through(
    guest: RunningGuest,
    handover: Orphaning,
    *,
    policy: OrphanPolicy,
    watch: Watch,
    seen: Watched,
    result: CellResult,
) -> Fate:
    """Note what became of an orphan; have it adopted, if it is to be, and watch it further."""
    end = time.monotonic()
    if policy is OrphanPolicy.KILL:
        return Fate(guest, end)
    status = handover.status(guest, _by(guest))
    result.facts["orphan"] = told(status)
    claim = claim_of(status) if policy is OrphanPolicy.PARK else None
    if not status.vcpus or (policy is OrphanPolicy.PARK and claim is None):
        return Fate(guest, end)  # there is nobody to adopt, or not as was wanted
    proof = handover.verify_from_l0(guest, seen.eye.pages, _by(guest))
    result.facts |= {"held": proof.seen, "held_method": proof.method.value}
    result.add(ProblemKind.PRODUCT, proof.fault)
    guest = adopted(guest, handover, status, seen, result)
    stretch = watched_on(guest, watch, "watch adopted", result)
    return Fate(guest, end, claim, stretch) if claim else Fate(guest, stretch.ended)


def watched_on(guest: RunningGuest, watch: Watch, phase: str, result: CellResult) -> Window:
    """Watch a guest that another VMM has by now; give that stretch.

    Raises:
        InfraError: that VMM ended.
    """
    began = time.monotonic()
    with result.phase(phase):
        pause(watch.after_s)
    if not guest.vmm_lives:
        raise InfraError(f"the adopter of {guest.plan.name} ended:\n{guest.last_words()}")
    return Window(began, time.monotonic())


def claim_of(status: OrphanStatus) -> ParkedClaim | None:
    """Give what a kernel claims that says of each vCPU that it does not run."""
    if not status.parked or status.owner == "PRESENT":
        return None
    return ParkedClaim(
        "; ".join(f"vCPU {v.index} {v.state} after {v.exit} at {v.pc}" for v in status.vcpus)
    )


def told(status: OrphanStatus) -> str:
    """Put a status in a line."""
    vcpus = "; ".join(f"vCPU {v.index} {v.state}, exit {v.exit_seq}" for v in status.vcpus)
    return f"owner {status.owner}, adopted {status.generation} times; {vcpus}"


def adopted(
    guest: RunningGuest,
    handover: Orphaning,
    before: OrphanStatus,
    seen: Watched,
    result: CellResult,
) -> RunningGuest:
    """Have a new VMM take the guest over; its kernel, not the VMM, is asked whether that was so."""
    with result.phase("adopt"):
        seen.eye.mark("adopt")
        guest = handover.adopt(guest, _by(guest))
        seen.eye.mark("adopted")
    result.facts["adopted_by"] = guest.vmm.pid
    result.add(ProblemKind.PRODUCT, not_adopted(before, handover.status(guest, _by(guest))))
    return guest


def not_adopted(before: OrphanStatus, after: OrphanStatus) -> str:
    """Say what a kernel shows of an adoption that was not; "" if it was one."""
    if after.owner == "PRESENT" and after.generation == before.generation + 1:
        return ""
    return f"it was not adopted, and its kernel says: {told(after)}"


def _by(guest: RunningGuest) -> Deadline:
    return Deadline.after(guest.host.patience.command)
