# SPDX-License-Identifier: Apache-2.0
"""A guest's status by labvmm's word, where its kernel has none of its own."""

from __future__ import annotations

import json

from lab.deadline import Deadline
from lab.errors import InfraError
from lab.guest.guest import RunningGuest
from lab.guest.handover.protocol import OrphanStatus, VcpuSeen
from lab.host.commands import LABVMM


def status_by_vmm(guest: RunningGuest, by: Deadline) -> OrphanStatus:
    """Ask the guest's VMM.

    Args:
        guest: The guest.
        by: When to give up.

    Returns:
        The status: adopted once, if it runs; owner GONE and no vCPU, if no VMM lives.

    Raises:
        InfraError: A VMM lives, and does not answer.
    """
    words = ("ctl", "--socket", guest.plan.socket, "status")
    said = guest.host.session.run([*LABVMM, *words], by=by)
    if said.status and guest.vmm_lives:
        raise InfraError(
            f"the VMM of {guest.plan.name} lives, but gives no status: {said.stderr.strip()}"
        )
    if said.status:
        return OrphanStatus("GONE", "run", 0, ())
    answer = json.loads(said.stdout.splitlines()[-1])
    runs = answer["state"] == "running"
    seen = tuple(
        VcpuSeen(v["index"], str(v["state"]).upper(), "none", None, 0, 0) for v in answer["vcpus"]
    )
    return OrphanStatus("PRESENT" if runs else "GONE", "run", int(runs), seen)
