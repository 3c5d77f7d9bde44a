# SPDX-License-Identifier: Apache-2.0
"""A stopped guest's RAM over a kexec: held by LUO in one kernel, retrieved in the next."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass

from lab.deadline import Deadline, until
from lab.errors import InfraError
from lab.machine.guest import RunningGuest
from lab.machine.host import RunningHost
from lab.machine.inside import LABVMM


@dataclass(frozen=True, slots=True)
class Held:
    """RAM that was digested, and preserved in LUO session `session` if it was to be."""

    session: str
    digest: str


def hold(guest: RunningGuest, by: Deadline, *, preserve: bool) -> Held:
    """Digest a paused guest's RAM, and have a LUO session preserve it, or nothing: the control.

    Raises:
        InfraError: LUO refused; the message has its reason.
    """
    session = f"lab-{secrets.token_hex(4)}"
    log = f"{guest.plan.folder}/luo.log"
    argv = [*LABVMM, "luo", "hold", "--session", session, "--socket", guest.plan.socket, "--digest"]
    guest.host.session.spawn([*argv, *([] if preserve else ["--empty"])], log, by=by)

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
