# SPDX-License-Identifier: Apache-2.0
"""A guest under the outside eye: found, watched, found again when its page may have moved."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

from lab.config.model import Watch
from lab.deadline import Deadline, pause
from lab.errors import DeadlineError, FalseStartError, InfraError
from lab.guest.guest import Beacons, GuestPlan, RunningGuest
from lab.guest.vmms.protocol import Vmm
from lab.guest.vmms.table import driver_for
from lab.host.host import RunningHost
from lab.observe.beacon import NO_BEACON
from lab.observe.eye import Eye
from lab.observe.jitter import JitterProbe
from lab.observe.search import Sighting
from lab.observe.window import Window
from lab.runner.course import Course
from lab.runner.search import search
from lab.verdict.evidence import Evidence


@dataclass(frozen=True, slots=True)
class Watched:
    """An open eye on a guest, and the probe of L0's stalls.

    Attributes:
        eye: Looks at its beacons.
        jitter: Records when L0 itself stalled.
        beacons: What the guest printed at its start.
    """

    eye: Eye
    jitter: JitterProbe
    beacons: Beacons

    def undisturbed(self, seconds: float) -> Window:
        """Watch with nothing done: the baseline that the rest is compared with.

        Args:
            seconds: For how long.

        Returns:
            The stretch, on L0's clock.
        """
        began = self.eye.mark("baseline")
        pause(seconds)
        return Window(began, time.monotonic())


@contextmanager
def watched(guest: RunningGuest, watch: Watch) -> Iterator[Watched]:
    """Open the eye on a guest that begins to run, and see each vCPU beat before the block.

    Args:
        guest: A guest whose VMM was just started.
        watch: How often to look, and from what lateness on L0 counts as stalled.

    Yields:
        The open eye.

    Raises:
        FalseStartError: Its beacons did not come, or no beats after them, within `patience.guest`.
        InfraError: They were not where L1 says, or its VMM ended.
    """
    by = Deadline.after(guest.host.patience.guest)
    with _insisting(guest):
        beacons = guest.beacons(by)
    eye = Eye(
        guest.host.domain.peek,
        guest.locate(beacons, by),
        guest.plan.key,
        guest.plan.canary,
        watch.look_every_ms / 1000,
        boot_id=beacons.boot_id,
    )
    qemu = guest.host.domain.process
    with JitterProbe(watch.jitter_limit_ms / 1000, qemu) as jitter, eye:
        with _insisting(guest):
            eye.beating(by)
        yield Watched(eye, jitter, beacons)


@contextmanager
def begun(
    driver: Vmm, host: RunningHost, plan: GuestPlan, watch: Watch, course: Course
) -> Iterator[tuple[RunningGuest, Watched, Window]]:
    """Start a guest and see it undisturbed; a block that breaks off leaves what the eye saw.

    Args:
        driver: The VMM.
        host: Where.
        plan: The guest.
        watch: How long to look, and how often.
        course: Where to note what took how long, and what was seen if the block breaks off.

    Yields:
        The guest, the open eye on it, and the undisturbed stretch.

    Raises:
        InfraError: It did not start, or was not seen to beat.
    """
    with ExitStack() as stack:
        with course.phase("start"):
            guest = driver.start(host, plan, host.by_guest())
            seen = stack.enter_context(watched(guest, watch))
            course.facts["late_by"] = seen.jitter.how
        with course.phase("baseline"):
            baseline = seen.undisturbed(watch.baseline_s)
        try:
            yield guest, seen, baseline
        except Exception:
            with suppress(InfraError):  # of the eye: it is not why the cell broke off
                course.found = seen.eye.found()
            raise


def watched_on(guest: RunningGuest, watch: Watch, phase: str, course: Course) -> Window:
    """Watch a guest that another VMM has by now.

    Args:
        guest: The guest.
        watch: For how long.
        phase: What this is called in the record.
        course: Where to note how long it took.

    Returns:
        The stretch, on L0's clock.

    Raises:
        InfraError: That VMM ended; the message has its last lines.
    """
    began = time.monotonic()
    with course.phase(phase):
        pause(watch.after_s)
    if not guest.vmm_lives:
        raise InfraError(f"the adopter of {guest.plan.name} ended:\n{guest.last_words()}")
    return Window(began, time.monotonic())


def look_again(watched: Watched, guest: RunningGuest) -> None:
    """Find the guest's pages once more, after something that may have moved them.

    L1 is asked first; where it does not know, all of its memory is searched for the canary.

    Args:
        watched: The eye, which looks at the pages that are found.
        guest: The guest, under the VMM that it has now.

    Raises:
        InfraError: They are nowhere.
    """
    by = Deadline.after(guest.host.patience.command)
    try:
        pages = guest.locate(watched.beacons, by)
    except InfraError:
        pages = _searched(guest, watched)
    watched.eye.relocate(pages)


def wiped(evidence: Evidence) -> bool:
    """Return whether each page could be read in the end, and had no beacon."""
    ends = [trail.blinds[-1] if trail.blinds else None for trail in evidence.trails.values()]
    return all(end and end.ended is None and end.reason == NO_BEACON for end in ends)


@contextmanager
def _insisting(guest: RunningGuest) -> Iterator[None]:
    """Add to the error of a guest that does not begin to beat where its vCPUs are.

    Raises:
        FalseStartError: It did not begin to beat.
    """
    try:
        yield
    except DeadlineError as e:
        try:
            where = driver_for(guest.plan.vmm).registers(guest, guest.host.by_guest())
        except InfraError as also:
            where = f"unknown: {also}"
        raise FalseStartError(f"{e}\nits vCPUs:\n{where}") from e


def _searched(guest: RunningGuest, watched: Watched) -> dict[int, int]:
    """Return the page of each vCPU, one that beats or else the one that has come furthest."""
    found = search(guest, tuple(watched.eye.pages.values()), slowly=True)
    pages: dict[int, Sighting] = {}
    for one in found.found if found else ():
        best = pages.get(one.vcpu)
        if best is None or (one.beats, one.seq) > (best.beats, best.seq):
            pages[one.vcpu] = one
    if set(pages) != set(range(guest.plan.vcpus)):
        raise InfraError(
            f"the beacons of {guest.plan.name} are nowhere in the memory of {guest.host.role}: "
            f"of {guest.plan.vcpus} vCPUs, {len(pages)} were found"
        )
    return {vcpu: one.phys for vcpu, one in pages.items()}
