# SPDX-License-Identifier: Apache-2.0
"""A stopped guest over a kexec, or its RAM alone: held by LUO in one kernel, taken in the next."""

from __future__ import annotations

import dataclasses
import json
import secrets
from dataclasses import dataclass

from lab.deadline import Deadline, until
from lab.errors import InfraError
from lab.guest.guest import RunningGuest
from lab.guest.handover.launch import ready
from lab.host.commands import LABVMM
from lab.host.host import RunningHost


@dataclass(frozen=True, slots=True)
class Held:
    """RAM that was digested, and preserved in LUO session `session` if it was to be."""

    session: str
    digest: str


def hold(guest: RunningGuest, by: Deadline, *, preserve: bool, whole: bool = False) -> Held:
    """Digest a paused guest's RAM, and have a LUO session preserve it, or nothing: the control.

    Args:
        guest: It.
        by: When to give up.
        preserve: Whether the session is to have anything.
        whole: Whether the session is to have what else it takes to go on with the guest.

    Raises:
        InfraError: LUO refused; the message has its reason.
    """
    session = f"lab-{secrets.token_hex(4)}"
    log = f"{guest.plan.folder}/luo.log"
    argv = [*LABVMM, "luo", "hold", "--session", session, "--socket", guest.plan.socket, "--digest"]
    argv += [*([] if preserve else ["--empty"]), *(["--state"] if whole else [])]
    guest.host.session.spawn(argv, log, by=by)

    def held() -> Held | None:
        lines = guest.host.session.get(log).decode(errors="replace").splitlines()
        if lines and not lines[-1].startswith("{"):
            raise InfraError(f"the guest's RAM was not preserved: {lines[-1]}")
        return Held(session, str(json.loads(lines[-1])["sha256"])) if lines else None

    return until("LUO to preserve the guest's RAM", held, by)


def retrieved(host: RunningHost, held: Held, by: Deadline) -> str:
    """Retrieve the RAM in the new kernel: its digest, or "nothing: " and why there is none."""
    said = host.session.run(
        [*LABVMM, "luo", "retrieve", "--session", held.session, "--digest"], by=by
    )
    if said.status == 0:
        return str(json.loads(said.stdout.splitlines()[-1])["sha256"])
    reason = said.stderr.strip().splitlines()
    return f"nothing: {reason[-1] if reason else f'status {said.status}'}"


def restored(guest: RunningGuest, held: Held, by: Deadline) -> tuple[str, RunningGuest | None]:
    """Have a VMM in the new kernel go on with the guest.

    Give the digest of its RAM from before it ran again, and it; or "nothing: " and why, and None.
    """
    host, plan = guest.host, guest.plan
    host.session.check(["mkdir", "-p", str(plan.folder)], by=by)
    log = f"{plan.folder}/restore-{secrets.token_hex(4)}.log"
    about = ("--session", held.session, "--socket", plan.socket, "--console", plan.console)
    try:
        vmm = ready(
            host, [*LABVMM, "luo", "restore", *about], log, f"the next VMM of {plan.name}", by
        )
    except InfraError as e:
        return f"nothing: {e}", None
    first = host.session.get(log).decode(errors="replace").splitlines()[0]
    return str(json.loads(first)["sha256"]), dataclasses.replace(guest, vmm=vmm)
