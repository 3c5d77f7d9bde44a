# SPDX-License-Identifier: Apache-2.0
"""Starting a VMM process in L1 so that it outlives our session, and knowing it again."""

from __future__ import annotations

from collections.abc import Sequence

from lab.deadline import Deadline
from lab.errors import InfraError
from lab.guest.cgroup import entering
from lab.guest.guest import GuestPlan, RunningGuest
from lab.host.commands import process
from lab.host.host import RunningHost


def started(host: RunningHost, plan: GuestPlan, argv: Sequence[str], by: Deadline) -> RunningGuest:
    """Start a VMM detached from this session, with its output in the guest's log.

    Args:
        host: The L1 to start it in.
        plan: The guest; its folder is made and its console emptied.
        argv: The VMM's command line.
        by: When to give up.

    Returns:
        The guest; its VMM's process existed a moment after the start, which does not say that the
        guest boots.

    Raises:
        InfraError: The VMM ended at once; the message has its log.
    """
    host.session.check(
        ["sh", "-c", 'mkdir -p "$1" && : >"$2"', "sh", str(plan.folder), plan.console], by=by
    )
    pid = host.session.spawn(entering(argv), plan.log, by=by)
    found = process(host.session, pid)
    if found is None:
        log = host.session.get(plan.log).decode(errors="replace")
        raise InfraError(f"{plan.vmm.value} for {plan.name} did not start: {log.strip()}")
    return RunningGuest(host, plan, found)
