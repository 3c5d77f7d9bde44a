# SPDX-License-Identifier: Apache-2.0
"""Small questions to an L1 over its session: its identity, its processes, what its KVM can do."""

from __future__ import annotations

import json
from typing import Any

from lab.deadline import Deadline, until
from lab.errors import InfraError, UnreachableError
from lab.observe.identity import HostIdentity, ProcessIdentity, build_id_of, process_of
from lab.ssh.session import Session

LABVMM = ("python3", "-I", "/lab/labvmm.pyz")


def identity_of(session: Session) -> HostIdentity:
    """Read which boot of which kernel an L1 runs, and for how long.

    Args:
        session: A session with the L1.

    Returns:
        The identity.

    Raises:
        InfraError: One of these files cannot be read, or the kernel has no build id.
    """
    return HostIdentity(
        boot_id=_text(session, "/proc/sys/kernel/random/boot_id"),
        cmdline=_text(session, "/proc/cmdline"),
        build_id=build_id_of(session.get("/sys/kernel/notes")),
        release=_text(session, "/proc/sys/kernel/osrelease"),
        uptime_s=float(_text(session, "/proc/uptime").split()[0]),
    )


def process(session: Session, pid: int) -> ProcessIdentity | None:
    """Read which process has `pid` in L1 now.

    Args:
        session: A session with the L1.
        pid: The process id.

    Returns:
        The process; None if there is none, or only a zombie.

    Raises:
        UnreachableError: The session died; that the process is gone was not seen.
        InfraError: /proc/PID/stat cannot be parsed.

    Source: Documentation/filesystems/proc.rst, table 1-4.
    """
    try:
        stat = session.get(f"/proc/{pid}/stat").decode(errors="replace")
    except UnreachableError:
        raise
    except InfraError:  # there is no such file
        return None
    found = process_of(stat)
    return None if found.remains else found


def lives(session: Session, one: ProcessIdentity) -> bool:
    """Ask whether that very process of L1 still runs, and not another that has its pid by now.

    Args:
        session: A session with the L1.
        one: The process as it was seen.

    Returns:
        Whether a process with its pid and its start time is there.

    Raises:
        UnreachableError: The session died.
    """
    now = process(session, one.pid)
    return now is not None and now.start_time == one.start_time


def kill(session: Session, pid: int, by: Deadline, *, group: bool = False) -> None:
    """Kill a process of L1 by SIGKILL, and wait until it has ended.

    Args:
        session: A session with the L1.
        pid: Of a process that the caller started or has identified.
        by: When to give up waiting.
        group: Kill the process group that it leads.

    Raises:
        InfraError: There is no such process.
        DeadlineError: The process does not end.
    """
    doomed = process(session, pid)
    session.check(["kill", "-KILL", f"-{pid}" if group else str(pid)], by=by)  # dash has no "--"
    if doomed is not None:
        until(f"process {pid} to end", lambda: None if lives(session, doomed) else True, by)


def labvmm(session: Session, *words: str, by: Deadline) -> Any:
    """Run a labvmm subcommand in L1.

    Args:
        session: A session with the L1.
        words: The subcommand and its arguments.
        by: When to give up.

    Returns:
        The last line of its output, parsed as JSON; also of an answer that has "ok": false.

    Raises:
        UnreachableError: The session died.
        InfraError: It printed no JSON; the message has its status and its stderr.
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
    """Require that /dev/kvm of an L1 runs a guest, by running one.

    Args:
        session: A session with the L1.
        role: The L1's name, for messages.
        by: When to give up.

    Raises:
        InfraError: It runs none; the message has the reason.
    """
    said = labvmm(session, "check", by=by)
    if not said["ok"]:
        raise InfraError(
            f"{role} has no KVM that can run a guest: {said['reason']}",
            hint="its kernel needs CONFIG_KVM and CONFIG_KVM_AMD or _INTEL, its CPU svm or vmx",
        )


def _text(session: Session, path: str) -> str:
    return session.get(path).decode().strip()
