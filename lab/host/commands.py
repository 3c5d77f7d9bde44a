# SPDX-License-Identifier: Apache-2.0
"""Small questions to an L1 over its session: who it is, which processes live, what KVM can do."""

from __future__ import annotations

import json
from typing import Any

from lab.deadline import Deadline, until
from lab.errors import InfraError, UnreachableError
from lab.observe.identity import HostIdentity, ProcessIdentity, build_id_of, process_of
from lab.ssh.session import Session

LABVMM = ("python3", "-I", "/lab/labvmm.pyz")


def identity_of(session: Session) -> HostIdentity:
    """Ask an L1 who it is: boot id, command line, build id and release of its kernel, uptime."""
    return HostIdentity(
        boot_id=_text(session, "/proc/sys/kernel/random/boot_id"),
        cmdline=_text(session, "/proc/cmdline"),
        build_id=build_id_of(session.get("/sys/kernel/notes")),
        release=_text(session, "/proc/sys/kernel/osrelease"),
        uptime_s=float(_text(session, "/proc/uptime").split()[0]),
    )


def process(session: Session, pid: int) -> ProcessIdentity | None:
    """Give the process that has `pid` in L1 now; None if there is none, or only its zombie."""
    try:
        stat = session.get(f"/proc/{pid}/stat").decode(errors="replace")
    except UnreachableError:
        raise
    except InfraError:  # there is no such file
        return None
    found = process_of(stat)
    return None if found.remains else found


def kill(session: Session, pid: int, by: Deadline) -> None:
    """Kill a process of L1 by SIGKILL, and wait until it has ended.

    Args:
        session: A session with the L1.
        pid: Of a process that the caller started or has identified.
        by: When to give up waiting.

    Raises:
        InfraError: There is no such process.
        DeadlineError: The process does not end.
    """
    doomed = process(session, pid)
    session.check(["kill", "-KILL", str(pid)], by=by)
    until(f"process {pid} to end", lambda: process(session, pid) != doomed or None, by)


def labvmm(session: Session, *words: str, by: Deadline) -> Any:
    """Run a labvmm subcommand in L1 and give the JSON it prints.

    Raises:
        InfraError: it failed, or printed something else.
    """
    said = session.run([*LABVMM, *words], by=by)
    try:
        return json.loads(said.stdout.splitlines()[-1])  # also of one that says "ok": false
    except (IndexError, json.JSONDecodeError) as e:
        last = said.stderr.strip() or said.stdout.strip() or "it said nothing"
        raise InfraError(
            f"'labvmm {words[0]}' on {session.peer} ended with {said.status}: {last}"
        ) from e


def require_kvm(session: Session, role: str, by: Deadline) -> None:
    """Insist that /dev/kvm of an L1 runs a guest, by running one.

    Raises:
        InfraError: it does not, and why.
    """
    said = labvmm(session, "check", by=by)
    if not said["ok"]:
        raise InfraError(
            f"{role} has no KVM that can run a guest: {said['reason']}",
            hint="its kernel needs CONFIG_KVM and CONFIG_KVM_AMD or _INTEL, its CPU svm or vmx",
        )


def _text(session: Session, path: str) -> str:
    return session.get(path).decode().strip()
