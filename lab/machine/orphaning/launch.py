# SPDX-License-Identifier: Apache-2.0
"""labvmm's command line for a guest."""

from __future__ import annotations

from lab.machine.guest import GuestPlan
from lab.machine.host import RunningHost
from lab.machine.inside import LABVMM
from lab.machine.payload import payload_for


def run_argv(host: RunningHost, plan: GuestPlan) -> list[str]:
    """Give `labvmm run` with all that a guest is booted from."""
    payload = payload_for(host.blueprint.spec.arch, plan)
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
