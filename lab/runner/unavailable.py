# SPDX-License-Identifier: Apache-2.0
"""Whether a cell that its topology calls unavailable can be run here: a probe is run, and kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lab.config.model import (
    Cell,
    Confidential,
    DisruptionKind,
    HostMode,
    KexecLoad,
    Unavailable,
    VmmKind,
)
from lab.deadline import Deadline
from lab.errors import InfraError
from lab.host import kexec
from lab.host.host import RunningHost
from lab.runner.pool import Pool

_NOT_RUN = (126, 127)  # a shell's words for a command that is no program, or is not there
_MOST = 2000  # characters of what was seen


@dataclass(frozen=True, slots=True)
class Probed:
    """What was asked of a machine, and what it said.

    Attributes:
        probe: The question: a command, a request.
        saw: The answer, as it came.
        available: Whether the cell can be run here after all: then it has to be.
    """

    probe: str
    saw: str
    available: bool

    def why(self, expectation: Unavailable) -> str:
        """Return why the cell is not run: what its topology says, and what bears it out.

        Args:
            expectation: The cell's.
        """
        last = self.saw.strip().splitlines()
        return f"{expectation.reason}; {self.probe}: {last[-1] if last else 'nothing'}"


def probed(pool: Pool, cell: Cell, expectation: Unavailable) -> Probed:
    """Run the probe of a cell: the one that its topology has, or else one of the lab's own.

    Args:
        pool: Of this machine's hosts.
        cell: The cell.
        expectation: That it is unavailable.

    Raises:
        InfraError: there is no probe for it: nobody can say that it is unavailable.
        LabError: the probe could not be run.
    """
    if expectation.probe is not None:
        with pool.lease(cell.request) as host:
            return _commanded(cell, host, expectation.probe)
    if cell.options.confidential is Confidential.SEV_SNP:
        return _launch_security(pool, cell)
    own = _probe_for(cell)
    if own is None:
        raise InfraError(
            f"{cell.id} is called unavailable, and there is no probe that could say so",
            hint="name a command that succeeds on a host where it can be run: "
            'expect = {unavailable = "why", probe = "COMMAND"}',
        )
    with pool.lease(cell.request) as host:
        return own(host)


def _probe_for(cell: Cell) -> Callable[[RunningHost], Probed] | None:
    if cell.options.confidential is Confidential.PKVM and cell.vmm is VmmKind.QEMU:
        return _protected_qemu
    if cell.mode is HostMode.PROTECTED and cell.disruption is DisruptionKind.KEXEC:
        return _kexec_in_protected_mode
    return None


def _launch_security(pool: Pool, cell: Cell) -> Probed:
    connection = pool.lab_session.connection
    offered = connection.launch_security(cell.arch)
    return Probed(
        f"launchSecurity in the domcapabilities of {connection.uri}",
        ", ".join(sorted(offered)) or "none",
        Confidential.SEV_SNP.value in offered,
    )


def _protected_qemu(host: RunningHost) -> Probed:
    """Look for an object, or a machine property, of pKVM's in the QEMU of the host."""
    argv = [host.blueprint.request.arch.traits.emulator, "-object", "help"]
    listed = host.session.check(argv, by=host.by_guest()).strip()
    found = [line.strip() for line in listed.splitlines() if "pkvm" in line.lower()]
    said = f"{', '.join(found)}" if found else "no object of pKVM's among those it lists"
    return Probed(f"{' '.join(argv)} on {host.role}", f"{listed[:_MOST]}\n{said}", bool(found))


def _kexec_in_protected_mode(host: RunningHost) -> Probed:
    """Try to load a kernel; one that was loaded is never entered, for its host is taken down."""
    asked = f"kexec_file_load on {host.role}"
    try:
        kexec.load(host, how=KexecLoad.FILE_LOAD, by=Deadline.after(host.patience.command))
    except InfraError as e:
        refused = "Operation not permitted" in str(e) or "kexec_file_load failed" in str(e)
        if not refused:
            raise
        return Probed(asked, Exception.__str__(e)[:_MOST], available=False)
    host.taint("a kernel was loaded, to see whether it can be")
    return Probed(asked, "it was accepted", available=True)


def _commanded(cell: Cell, host: RunningHost, command: str) -> Probed:
    came = host.session.run(["sh", "-c", command], by=host.by_guest())
    if came.status in _NOT_RUN:
        raise InfraError(
            f"{cell.id}: the probe of its topology could not be run on {host.role}: {came.stderr}"
        )
    saw = f"{came.stdout}{came.stderr}"[:_MOST] + f"\nstatus {came.status}"
    return Probed(f"{command} on {host.role}", saw.strip(), came.status == 0)
