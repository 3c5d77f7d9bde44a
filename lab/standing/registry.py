# SPDX-License-Identifier: Apache-2.0
"""What `lab up` left standing: the record that tells a standing host from a leftover."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import AwareDatetime, ValidationError

from lab.config.fields import Model
from lab.config.model import Accel, Arch, HostMode
from lab.deadline import Deadline
from lab.errors import ConfigError
from lab.host.host import RunningHost
from lab.resources.ledger import flocked
from lab.runner.lab_session import LabSession
from lab.runner.pool import Pool

_FILE = "standing.json"
_PATIENCE_S = 30


class StandingHost(Model):
    """A host that outlives the command that booted it; as it is stored.

    Attributes:
        role: Its name in its topology, by which `lab ssh` takes it: "a".
        domain: The name of its libvirt domain.
        run_id: The run that booted it.
        uri: The libvirt connection that it is at.
        topology: The topology that it is of.
        arch: Its architecture.
        kernel: The name of its kernel in lab.toml.
        release: As its `uname -r`.
        build_id: Its kernel's GNU build id, in hex.
        mode: Its mode.
        accel: What runs it.
        why: What spoke for that accelerator.
        vcpus: How many it has.
        memory_mib: Its RAM in MiB.
        port: The port of 127.0.0.1 that leads to its sshd.
        host_key_line: The one host key that it may show.
        folder: The folder of its run, with all that was written for it.
        console: The file that its console is recorded to.
        key: The file with the private key that opens it; the key itself is nowhere else.
        since: When it was up.
    """

    role: str
    domain: str
    run_id: str
    uri: str
    topology: str
    arch: Arch
    kernel: str
    release: str
    build_id: str
    mode: HostMode
    accel: Accel
    why: str
    vcpus: int
    memory_mib: int
    port: int
    host_key_line: str
    folder: Path
    console: Path
    key: Path
    since: AwareDatetime


class StandingHosts:
    """The registry of standing hosts: one file, changed under a lock.

    Args:
        state: The lab's state folder, which the file is in.
    """

    def __init__(self, state: Path) -> None:
        self._path = state / _FILE

    def hosts(self) -> tuple[StandingHost, ...]:
        """List the hosts that were left standing; whether they still run is not asked.

        Returns:
            The hosts in the order in which they were added.

        Raises:
            ConfigError: The file is damaged.
            DeadlineError: Another process has had the lock for 30 s.
        """
        with self._locked():
            return tuple(self._read())

    def find(self, name: str) -> StandingHost:
        """Return one standing host.

        Args:
            name: Its role, or the name of its libvirt domain.

        Returns:
            The host.

        Raises:
            ConfigError: No host or several have that name; the hint lists what stands.
        """
        hosts = self.hosts()
        found = [host for host in hosts if name in {host.role, host.domain}]
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(host.domain for host in found)
            raise ConfigError(f"several hosts are called {name!r}", hint=f"say which: {names}")
        there = ", ".join(host.role for host in hosts)
        hint = f"standing: {there}" if there else "nothing is standing; 'lab up' makes it"
        raise ConfigError(f"no host {name!r} is standing", hint=hint)

    def add(self, hosts: Iterable[StandingHost]) -> None:
        """Add hosts to the registry.

        Args:
            hosts: Hosts that run.

        Raises:
            ConfigError: The file is damaged.
        """
        with self._locked():
            self._write([*self._read(), *hosts])

    def remove(self, domains: Iterable[str]) -> None:
        """Remove hosts from the registry; the machines themselves are not touched.

        Args:
            domains: The names of their libvirt domains; one that is not listed is no error.

        Raises:
            ConfigError: The file is damaged.
        """
        gone = set(domains)
        with self._locked():
            self._write([host for host in self._read() if host.domain not in gone])

    @contextmanager
    def _locked(self) -> Iterator[None]:
        by = Deadline.after(_PATIENCE_S)
        with flocked(self._path.with_suffix(".flock"), f"the lock on {self._path}", by):
            yield

    def _read(self) -> list[StandingHost]:
        try:
            raw = json.loads(self._path.read_text(encoding="utf-8"))
            return [StandingHost.model_validate_json(json.dumps(host)) for host in raw]
        except FileNotFoundError:
            return []
        except (json.JSONDecodeError, ValidationError, TypeError) as e:
            raise ConfigError(
                f"{self._path}: damaged: {str(e).splitlines()[0]}",
                hint=f"remove it; 'lab down' then removes its hosts as leftovers: rm {self._path}",
            ) from e

    def _write(self, hosts: list[StandingHost]) -> None:
        new = self._path.with_suffix(".new")
        text = json.dumps([host.model_dump(mode="json") for host in hosts], indent=1)
        new.write_text(f"{text}\n", encoding="utf-8")
        new.replace(self._path)


def as_standing(host: RunningHost, lab_session: LabSession) -> StandingHost:
    """Return the registry's entry for a host.

    Args:
        host: The host, which runs.
        lab_session: The session that booted it.

    Returns:
        What another command needs to reach it and to remove it.
    """
    made = host.blueprint
    asked = made.request
    choice = lab_session.accelerator(asked.arch, asked.kernel)
    return StandingHost(
        role=host.role,
        domain=made.name,
        run_id=made.run_id,
        uri=lab_session.connection.uri,
        topology=asked.topology,
        arch=asked.arch,
        kernel=asked.kernel,
        release=host.identity.release,
        build_id=host.identity.build_id,
        mode=asked.mode,
        accel=choice.accel,
        why=choice.reason,
        vcpus=asked.vcpus,
        memory_mib=asked.memory_mib,
        port=host.entry.port,
        host_key_line=host.entry.host_key_line,
        folder=lab_session.folder.path,
        console=made.folder / "console.log",
        key=made.folder / "key",
        since=datetime.now(UTC).replace(microsecond=0),
    )


def leave_standing(pool: Pool) -> str | None:
    """Leave the warm host of a pool standing when its run has ended, as if `lab up` had made it.

    Args:
        pool: The pool of a worker that has ended.

    Returns:
        The commands that reach it and remove it; None if the pool has no host any more.
    """
    host = pool.detach()
    if host is None:
        return None
    made = as_standing(host, pool.lab_session)
    StandingHosts(pool.lab_session.state).add((made,))
    pool.lab_session.keep_folder()
    return f"lab ssh {made.role}, lab console {made.role}; lab down takes it down"
