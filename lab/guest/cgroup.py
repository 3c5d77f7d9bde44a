# SPDX-License-Identifier: Apache-2.0
"""A cgroup for each VMM in L1: whatever it starts is in there too, and has to be gone with it."""

from __future__ import annotations

from collections.abc import Sequence

from lab.deadline import Deadline
from lab.errors import InfraError
from lab.ssh.session import Session

_OF = "/sys/fs/cgroup/lab-vmm-{}"
_ENTER = f'd={_OF.format("$$")}; mkdir -p "$d" && echo $$ >"$d/cgroup.procs" && exec "$@"'
_LIST = 'pids=$(cat "$0/cgroup.procs") || exit 1; for p in $pids; do cat "/proc/$p/stat"; done; :'
_VSIZE = 20  # word after the name in /proc/PID/stat, whose fields count from 1 with two before it


def entering(argv: Sequence[str]) -> list[str]:
    """Return a command line that runs a VMM in a cgroup of its own, with the pid that it has then.

    Args:
        argv: The VMM's command line.

    Returns:
        The command line of a shell that becomes the VMM, and ends if there is no cgroup for it.
    """
    return ["sh", "-c", _ENTER, "sh", *argv]


def cgroup_of(pid: int) -> str:
    """Return the folder in L1 of the cgroup of a VMM.

    Args:
        pid: The VMM's process, which may have ended.

    Returns:
        An absolute path.
    """
    return _OF.format(pid)


def processes_in(session: Session, cgroup: str, by: Deadline) -> tuple[str, ...]:
    """List the processes of a cgroup that have memory of their own.

    Threads of the kernel that run a guest for an owner that is gone are in its cgroup and have
    none: they are no part of the VMM.

    Args:
        session: A session with the L1.
        cgroup: Its folder.
        by: When to give up.

    Returns:
        Pid and name of each, as "7 (qemu)".

    Raises:
        InfraError: There is no such cgroup: whether the VMM is gone cannot be told by it.
    """
    said = session.run(["sh", "-c", _LIST, cgroup], by=by)
    if said.status:
        raise InfraError(f"cgroup {cgroup} of {session.peer} cannot be read: {said.stderr.strip()}")
    return tuple(
        f"{name})"
        for name, _, rest in (line.rpartition(")") for line in said.stdout.splitlines())
        if int(rest.split()[_VSIZE]) > 0
    )


def kill_all(session: Session, cgroup: str, by: Deadline) -> None:
    """Kill all that is in a cgroup; it need not exist.

    Args:
        session: A session with the L1.
        cgroup: Its folder.
        by: When to give up.
    """
    session.run(["sh", "-c", 'echo 1 >"$0/cgroup.kill"', cgroup], by=by)
