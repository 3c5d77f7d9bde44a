# SPDX-License-Identifier: Apache-2.0
"""What killed labs left behind: found by the lab's marks on it, and nothing else is removed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import libvirt

from lab.deadline import Deadline, until
from lab.errors import InfraError
from lab.resources.owner import Owner
from lab.virt.connection import Connection
from lab.virt.domain import Domain, doing
from lab.virt.xml import console_in, tags_in


@dataclass(frozen=True, slots=True)
class Leftover:
    """A machine with the lab's metadata; if its owner lives, it is in use and not left over."""

    name: str
    run_id: str
    role: str
    topology: str
    owner: Owner
    domain: Domain
    console: Path | None  # in the state folder of the lab that made it

    @property
    def abandoned(self) -> bool:
        """Whether the lab process that made it is gone."""
        return not self.owner.alive

    def remove(self) -> None:
        """Switch it off, make libvirt forget it, and end the passt that served it."""
        helpers = list(_passt_of(self.name))
        self.domain.destroy()
        for helper in helpers:  # libvirt ends it with the domain, if libvirt lived as long
            helper.signal(signal.SIGTERM)
            until(
                f"the end of passt, pid {helper.pid}",
                lambda p=helper: None if p.alive else True,  # type: ignore[misc]
                Deadline.after(10),
            )


def ours(connection: Connection) -> list[Leftover]:
    """List the machines of this libvirt that a lab made, in use or left over.

    Args:
        connection: The libvirt.

    Returns:
        The machines, by name.
    """
    with doing(f"list the machines of {connection.uri}"):
        domains = connection.raw.listAllDomains()
    found = []
    for raw in domains:
        xml = _xml(raw)
        tags = tags_in(xml) if xml else None
        if xml and tags is not None:
            domain = Domain(raw, tags.role)
            found.append(
                Leftover(
                    domain.name,
                    tags.run_id,
                    tags.role,
                    tags.topology,
                    tags.owner,
                    domain,
                    console_in(xml),
                )
            )
    return sorted(found, key=lambda leftover: leftover.name)


def _xml(raw: libvirt.virDomain) -> str | None:
    try:
        return str(raw.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    except libvirt.libvirtError as e:
        if e.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:  # it went away meanwhile
            return None
        raise InfraError(f"could not read the definition of {raw.name()}: {e}") from e


def _passt_of(name: str) -> Iterator[Owner]:
    """Find the passt of domain `name`: libvirt keeps a pid file `<id>-<name>-net<n>.pid`."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "/run/user/0")
    folders = (Path("/run/libvirt/qemu/passt"), Path(runtime) / "libvirt/qemu/run/passt")
    for folder in folders:
        for pid_file in sorted(folder.glob(f"*-{name}-net*.pid")) if folder.is_dir() else ():
            try:
                owner = Owner.of(int(pid_file.read_text(encoding="ascii")))
                line = Path(f"/proc/{owner.pid}/cmdline").read_bytes()
            except (ProcessLookupError, FileNotFoundError, ValueError):
                continue
            if os.fsencode(pid_file) in line.split(b"\0"):  # it names its own pid file
                yield owner
