# SPDX-License-Identifier: Apache-2.0
"""What of the lab is on this machine: what stands, what is at work, what was left behind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lab.config.model import LabConfig
from lab.deadline import Deadline
from lab.errors import InfraError, LabError
from lab.events import Sink, nowhere
from lab.resources.ledger import state_dir
from lab.resources.run_folders import RunFolder, run_folders
from lab.ssh.session import Session
from lab.standing.registry import StandingHost, StandingHosts
from lab.virt.connection import Connection, connect, uri_for
from lab.virt.daemons import ensure_daemons
from lab.virt.leftovers import Leftover, ours

_ASK_S = 4.0
RUNNING, UNKNOWN = "running", "unknown"


@dataclass(frozen=True, slots=True)
class Survey:
    """What of the lab is on this machine.

    Attributes:
        standing: Each host that `lab up` left standing, with libvirt's word for its state.
        machines: The machines of those, by their domain's name; one that is gone has none.
        at_work: Machines of lab commands that run now.
        abandoned: Machines whose lab command was killed.
        folders: Run folders whose lab command was killed.
        blind: Why libvirt could not be asked; empty if it could.
    """

    standing: tuple[tuple[StandingHost, str], ...] = ()
    machines: Mapping[str, Leftover] = field(default_factory=dict)
    at_work: tuple[Leftover, ...] = ()
    abandoned: tuple[Leftover, ...] = ()
    folders: tuple[RunFolder, ...] = ()
    blind: str = ""

    @property
    def leftovers(self) -> tuple[str, ...]:
        """Name what was left behind, for a message."""
        machines = tuple(f"machine {m.name}" for m in self.abandoned)
        return (*machines, *(f"folder {f.path}" for f in self.folders))


@contextmanager
def surveyed(lab: LabConfig, sink: Sink = nowhere, *, wake: bool = False) -> Iterator[Survey]:
    """Look for everything that the lab made; libvirt stays open for the block, for removals.

    Args:
        lab: Has the state folder and the URI of libvirt.
        sink: Is told of a daemon that is started.
        wake: Start libvirt's daemons if they are needed to remove something.

    Yields:
        What was found.
    """
    state = state_dir(lab.state)
    uri = uri_for(lab.libvirt.uris[0])
    if wake and (StandingHosts(state).hosts() or abandoned_folders(state)):
        ensure_daemons(uri, state, sink)
    with ExitStack() as stack:
        connection, blind = None, ""
        try:
            connection = stack.enter_context(connect(uri, sink))
        except InfraError as e:
            blind = str(e).splitlines()[0]
        yield _look(state, connection, uri, blind)


def abandoned_folders(state: Path) -> tuple[RunFolder, ...]:
    """List run folders whose maker is gone, those of standing hosts too."""
    return tuple(f for f in run_folders(state) if f.abandoned and not _being_made(f))


def _look(state: Path, connection: Connection | None, uri: str, blind: str) -> Survey:
    # In this order: a command that dies after the first look has written its record by then.
    machines = [m for m in ours(connection) if _from_here(m, state)] if connection else []
    folders = abandoned_folders(state)
    hosts = StandingHosts(state).hosts()
    names, runs = {host.domain for host in hosts}, {host.run_id for host in hosts}
    theirs = {m.name: m for m in machines if m.name in names}
    states = {name: m.domain.state() for name, m in theirs.items()}
    return Survey(
        standing=tuple((host, _state(host, uri, states, blind)) for host in hosts),
        machines=theirs,
        at_work=tuple(m for m in machines if not m.abandoned and m.name not in names),
        abandoned=tuple(m for m in machines if m.abandoned and m.name not in names),
        folders=tuple(f for f in folders if f.run_id not in runs),
        blind=blind,
    )


def _state(host: StandingHost, uri: str, states: dict[str, str], blind: str) -> str:
    if blind or host.uri != uri:
        return UNKNOWN
    return states.get(host.domain, "gone")


def _from_here(machine: Leftover, state: Path) -> bool:
    """Whether a lab with this state folder made it; those of another one are not ours to judge."""
    return machine.console is not None and state.resolve() in machine.console.resolve().parents


def _being_made(folder: RunFolder) -> bool:
    """Whether this is a folder under its first name, whose maker may still be filling it."""
    hidden, _, pid = folder.path.name.rpartition(".")
    return hidden.startswith(".") and pid.isdecimal() and Path(f"/proc/{pid}").exists()


def open_session(host: StandingHost, by: Deadline) -> Session:
    """Connect to a standing host, pinned to its own host key.

    Args:
        host: The host.
        by: When to give up.

    Returns:
        The session.

    Raises:
        InfraError: It does not answer, or another machine does.
        OSError: The file with its key cannot be read.
    """
    key = host.key.read_text(encoding="ascii")
    return Session.open(host.role, "127.0.0.1", host.port, host.host_key_line, key, by)


def uptime_s(host: StandingHost) -> float | None:
    """Ask a standing host how long it has been up.

    Args:
        host: The host.

    Returns:
        Seconds; None if it does not answer within 4 s.
    """
    by = Deadline.after(_ASK_S)
    try:
        with open_session(host, by) as session:
            return float(session.get("/proc/uptime", by=by).split()[0])
    except (LabError, OSError):
        return None
