# SPDX-License-Identifier: Apache-2.0
"""Cells of scope running: a guest is started, watched, struck, watched on, and judged."""

from __future__ import annotations

import time
from dataclasses import replace

from lab.config.model import Cell, Watch
from lab.deadline import pause
from lab.disruption.deliver import DEEDS, Deed
from lab.guest.guest import GuestPlan
from lab.guest.vmms.table import driver_for
from lab.host.health import insist_running
from lab.host.host import RunningHost
from lab.runner import chaos
from lab.runner.adoption import Fate, see_through
from lab.runner.course import Course
from lab.runner.following import followed
from lab.runner.settling import known_of, settle
from lab.runner.strike import strike
from lab.runner.watch import begun


def judge_running(
    cell: Cell,
    plan: GuestPlan,
    host: RunningHost,
    watch: Watch,
    course: Course,
    *,
    deed: Deed | None = None,
) -> None:
    """Start the guest, watch it undisturbed, strike it, see it through, judge it, and end it.

    Args:
        cell: What to run.
        plan: Its guest.
        host: Its host.
        watch: How long to look, and how often.
        course: Where to note how far it came.
        deed: What to do instead of the cell's disruption.

    Raises:
        InfraError: The lab broke.
    """
    driver, options = driver_for(cell.vmm, cell.options.orphaning), cell.options
    with (
        chaos.busy(cell, host) as load,
        begun(driver, host, plan, watch, course) as (guest, seen, baseline),
    ):
        driver, handover = followed(driver, seen)
        if load is not None:
            load.look()  # it must run before the strike, and after it if its kernel is there
        delivered = strike(cell, guest, driver, seen, course, deed=deed or DEEDS[cell.disruption])
        with course.phase("watch"):
            seen.eye.mark("after")
            pause(watch.after_s)
        fate = Fate(delivered.guest, time.monotonic())
        insist_running(host)
        gone = not fate.guest.vmm_lives
        if handover.orphans and gone:
            fate = see_through(
                fate.guest, handover, policy=options.policy, watch=watch, seen=seen, course=course
            )
            insist_running(host)
        tallies = (*handover.tallies(cell, delivered, gone=gone), *chaos.tallies(load, course))
        known = replace(
            known_of(cell, watch, baseline, delivered),
            end=fate.end,
            parked=fate.parked,
            tallies=tallies,
            handed=handover.began,
            adopted=fate.adopted,
        )
        settle(fate.guest, seen, watch, known, course, resumed=fate.resumed, why="it was parked")
    fate.guest.end()
