# SPDX-License-Identifier: Apache-2.0
"""labvmm's command line for a guest, and a labvmm that is waited for."""

from __future__ import annotations

import json

from lab.deadline import Deadline, until
from lab.errors import InfraError
from lab.guest.cgroup import entering
from lab.guest.guest import GuestPlan
from lab.guest.payload import payload_for
from lab.host.commands import LABVMM, process
from lab.host.host import RunningHost
from lab.observe.identity import ProcessIdentity

_EVERY_S = 0.05


def run_argv(host: RunningHost, plan: GuestPlan) -> list[str]:
    """Compose `labvmm run` with everything that the guest is booted from.

    Args:
        host: The L1 that it will run in.
        plan: The guest.

    Returns:
        The command line, which a hand-over ABI may add options to.
    """
    payload = payload_for(host.blueprint.request.arch, plan)
    initrd = ("--initrd", payload.initrd) if payload.initrd else ()
    return [
        *LABVMM, "run",
        "--kernel", payload.kernel,
        *initrd,
        "--cmdline", payload.cmdline,
        "--memory", str(plan.memory_mib),
        "--vcpus", str(plan.vcpus),
        "--console", plan.console,
        "--socket", plan.socket,
        *(["--protected"] if plan.protected else []),
    ]  # fmt: skip


def ready(host: RunningHost, argv: list[str], log: str, what: str, by: Deadline) -> ProcessIdentity:
    """Start a labvmm that stays, and wait until it reports that it is ready.

    It is ready once its log has a line that is a JSON object with its own pid.

    Args:
        host: The L1 to start it in.
        argv: Its command line.
        log: The file in L1 that its output is appended to.
        what: What it is, for messages: "the adopter of g1".
        by: When to give up.

    Returns:
        The process.

    Raises:
        InfraError: It ended instead; the message has its output.
        DeadlineError: It neither ended nor reported.
    """
    pid = host.session.spawn(entering(argv), log, by=by)

    def spoke() -> ProcessIdentity | None:
        found = process(host.session, pid)  # first: what it says before it ends is seen below
        lines = host.session.get(log).decode(errors="replace").splitlines()
        said = [json.loads(line) for line in lines if line[:1] + line[-1:] == "{}"]
        mine = [answer for answer in said if answer.get("pid") == pid]  # not of one before it
        if mine and found is not None:
            return found
        if found is None:
            raise InfraError(f"{what} ended at once: {' '.join(lines) or '(it said nothing)'}")
        return None

    return until(f"{what} to be ready", spoke, by, every=_EVERY_S)
