# SPDX-License-Identifier: Apache-2.0
"""One cell on a host: its guest judged, its host's complaints read, its evidence written."""

from __future__ import annotations

from pathlib import Path

from lab.config.model import Cell, Watch
from lab.disruption.deliver import Deed
from lab.errors import InfraError
from lab.host.health import complaint, stall
from lab.host.host import RunningHost
from lab.runner.collect import collect
from lab.runner.course import Course
from lab.runner.features import insist_on_the_feature
from lab.runner.guest_plan import guest_plan
from lab.runner.memory import judge_memory
from lab.runner.running import judge_running


def run_cell(
    cell: Cell,
    host: RunningHost,
    watch: Watch,
    evidence: Path,
    course: Course,
    *,
    words: tuple[str, ...] = (),
    deed: Deed | None = None,
) -> None:
    """Run a cell on a host; evidence is written whatever happens.

    Args:
        cell: What to run.
        host: Its host; nothing else runs on it.
        watch: How long to look, and how often.
        evidence: The folder for the evidence.
        course: Where to note how far it came.
        words: More words for the guest's command line: how a mutant is made.
        deed: What to do instead of the cell's disruption: a deed that only pretends.

    Raises:
        UnavailableError: The cell is for a confidential guest of a kind that cannot be started.
        ProductError: The host's kernel was built for such guests, and came up without.
        InfraError: The lab broke; this says nothing about the kernel under test.
    """
    plan = guest_plan(cell, words)
    since = host.console.mark()
    try:
        if cell.options.memory:
            judge_memory(cell, plan, host, watch, course)
        else:
            try:
                judge_running(cell, plan, host, watch, course, deed=deed)
            except InfraError as e:
                if course.delivered is None:
                    insist_on_the_feature(host, cell, e)
                raise
        voids = course.settled.evidence.voids if course.settled else ()
        heard = complaint(host, since, cell.disruption), stall(host, since, voids)
        course.problems += filter(None, heard)
    finally:
        with course.phase("evidence"):
            course.consoles = collect(evidence, host, plan)
