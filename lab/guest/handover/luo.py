# SPDX-License-Identifier: Apache-2.0
"""A stopped guest over a kexec, or its RAM alone: preserved by LUO in one kernel, for the next."""

from __future__ import annotations

import dataclasses
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from lab.config.model import MemoryKind
from lab.deadline import Deadline, until
from lab.errors import InfraError
from lab.guest.guest import RunningGuest
from lab.guest.handover.launch import ready
from lab.host.commands import LABVMM


@dataclass(frozen=True, slots=True)
class Preserved:
    """RAM that was digested, and preserved in a LUO session, if it was.

    Attributes:
        session: The session's name.
        digest: SHA-256 of the RAM, in hex; never empty.
    """

    session: str
    digest: str


@dataclass(frozen=True, slots=True)
class Recovered:
    """What the next kernel has of a guest.

    Attributes:
        said: SHA-256 of the RAM, in hex, from before anything ran on it again; or "nothing: " and
            why there is none.
        guest: The guest as it runs again; None if only its RAM was asked for, or nothing is there.
    """

    said: str
    guest: RunningGuest | None = None


class MemoryHandover(Protocol):
    """The strategy by which the memory of a stopped guest comes to the next kernel.

    Attributes:
        verb: What is done in the next kernel: "retrieve" the RAM, or "restore" the guest.
    """

    verb: str

    def preserve(self, guest: RunningGuest, by: Deadline) -> Preserved:
        """Digest a stopped guest's RAM, and have LUO preserve what this strategy needs of it.

        Args:
            guest: A guest whose vCPUs are stopped.
            by: When to give up.

        Returns:
            The digest, and the session's name.

        Raises:
            InfraError: LUO refused; the message has its reason.
        """
        ...

    def recover(self, guest: RunningGuest, preserved: Preserved, by: Deadline) -> Recovered:
        """Retrieve in the next kernel what was preserved.

        Args:
            guest: The guest, as it left the kernel before.
            preserved: What `preserve` returned there.
            by: When to give up.

        Returns:
            What is there; that nothing is, is an answer and no error.
        """
        ...


class RamHandover:
    """The RAM alone, which nothing runs on afterwards; or, as a control, not even that."""

    verb = "retrieve"

    def __init__(self, *words: str) -> None:
        self._words = words  # for `labvmm luo preserve`

    def preserve(self, guest: RunningGuest, by: Deadline) -> Preserved:
        """Have a session preserve the RAM, or for the control nothing."""
        return _preserved(guest, by, *self._words)

    def recover(self, guest: RunningGuest, preserved: Preserved, by: Deadline) -> Recovered:
        """Retrieve the RAM and digest it."""
        argv = [*LABVMM, "luo", "retrieve", "--session", preserved.session, "--digest"]
        said = guest.host.session.run(argv, by=by)
        if said.status == 0:
            return Recovered(str(json.loads(said.stdout.splitlines()[-1])["sha256"]))
        reason = said.stderr.strip().splitlines()
        return Recovered(f"nothing: {reason[-1] if reason else f'status {said.status}'}")


class GuestHandover:
    """The RAM and all other state of a stopped guest, which resumes in the next kernel."""

    verb = "restore"

    def preserve(self, guest: RunningGuest, by: Deadline) -> Preserved:
        """Have a session preserve all of the guest."""
        return _preserved(guest, by, "--state")

    def recover(self, guest: RunningGuest, preserved: Preserved, by: Deadline) -> Recovered:
        """Have a new VMM restore the guest and resume it."""
        host, plan = guest.host, guest.plan
        host.session.check(["mkdir", "-p", str(plan.folder)], by=by)
        log = f"{plan.folder}/restore-{secrets.token_hex(4)}.log"
        argv = [
            *LABVMM, "luo", "restore", "--session", preserved.session,
            "--socket", plan.socket, "--console", plan.console,
        ]  # fmt: skip
        try:
            vmm = ready(host, argv, log, f"the next VMM of {plan.name}", by)
        except InfraError as e:
            return Recovered(f"nothing: {e}")
        first = host.session.get(log).decode(errors="replace").splitlines()[0]
        return Recovered(str(json.loads(first)["sha256"]), dataclasses.replace(guest, vmm=vmm))


MEMORY_HANDOVERS: Mapping[MemoryKind, MemoryHandover] = {
    MemoryKind.MEMFD: RamHandover("--empty"),  # the control
    MemoryKind.LUO_MEMFD: RamHandover(),
    MemoryKind.LUO_GUEST: GuestHandover(),
}


def _preserved(guest: RunningGuest, by: Deadline, *words: str) -> Preserved:
    session = f"lab-{secrets.token_hex(4)}"
    log = f"{guest.plan.folder}/luo.log"
    about = ("--session", session, "--socket", guest.plan.socket, "--digest")
    guest.host.session.spawn([*LABVMM, "luo", "preserve", *about, *words], log, by=by)

    def preserved() -> Preserved | None:
        lines = guest.host.session.get(log).decode(errors="replace").splitlines()
        if lines and not lines[-1].startswith("{"):
            raise InfraError(f"the guest's RAM was not preserved: {lines[-1]}")
        return Preserved(session, str(json.loads(lines[-1])["sha256"])) if lines else None

    found = until("LUO to preserve the guest's RAM", preserved, by)
    if not found.digest:
        raise InfraError(f"the memory of {guest.plan.name} could not be digested")
    return found
