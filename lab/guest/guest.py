# SPDX-License-Identifier: Apache-2.0
"""An L2 that runs: its VMM's process, its console, and where its beacon is in L1's memory."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from lab.config.model import GuestKind, VmmKind
from lab.deadline import Deadline, until
from lab.errors import InfraError
from lab.host.commands import kill, labvmm, process
from lab.host.host import RunningHost
from lab.observe.identity import ProcessIdentity

_BEACON = re.compile(r"BEACON vcpu=(\d+) gpa=0x([0-9a-f]+) boot=([0-9a-f]{32})")
_LAST_WORDS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestPlan:
    """An L2 as it is wanted; `canary` and `key` are secrets that L0 chose for its beacon."""

    name: str
    kind: GuestKind
    vmm: VmmKind
    vcpus: int = 1
    memory_mib: int = 256
    words: tuple[str, ...] = ()  # more words for its command line
    protected: bool = False  # its memory hidden from its host
    orphan_policy: str = "run"  # what its vCPUs do meanwhile: run, park or kill
    canary: bytes = field(default_factory=lambda: secrets.token_bytes(16), repr=False)
    key: bytes = field(default_factory=lambda: secrets.token_bytes(16), repr=False)

    @property
    def folder(self) -> PurePosixPath:
        """Where its files are inside L1."""
        return PurePosixPath("/run/lab") / self.name

    @property
    def console(self) -> str:
        """The file in L1 that its serial console is written to."""
        return str(self.folder / "console.log")

    @property
    def log(self) -> str:
        """The file in L1 that its VMM's own output is written to."""
        return str(self.folder / "vmm.log")

    @property
    def socket(self) -> str:
        """The VMM's control socket in L1: QMP, or labvmm's own."""
        return str(self.folder / "vmm.sock")

    @property
    def cgroup(self) -> str:
        """The cgroup in L1 of a VMM whose guest may outlive it; its keeper is elsewhere."""
        return f"/sys/fs/cgroup/lab-{self.name}"

    @property
    def keeper_socket(self) -> str:
        """The socket in L1 of who holds the guest while no VMM does."""
        return str(self.folder / "keeper.sock")


@dataclass(frozen=True, slots=True)
class Beacons:
    """What the guest said on its console: each vCPU's page, guest-physical, and its boot id."""

    pages: Mapping[int, int]
    boot_id: bytes


@dataclass(frozen=True, slots=True)
class RunningGuest:
    """An L2 whose VMM was started; the same value for its whole life under that VMM."""

    host: RunningHost
    plan: GuestPlan
    vmm: ProcessIdentity
    keepers: tuple[ProcessIdentity, ...] = ()  # who else holds its descriptors

    @property
    def vmm_lives(self) -> bool:
        """Whether that very VMM process, not one that has its pid, still runs."""
        return self._lives(self.vmm)

    @property
    def held(self) -> bool:
        """Whether anybody still holds it: its VMM or a keeper."""
        return self.vmm_lives or any(self._lives(keeper) for keeper in self.keepers)

    def _lives(self, one: ProcessIdentity) -> bool:
        now = process(self.host.session, one.pid)
        return now is not None and now.start_time == one.start_time

    @property
    def ram(self) -> tuple[str, ...]:
        """How labvmm's subcommands are told which process' memory is the guest's.

        Where no VMM lives, a keeper's descriptors lead to it.
        """
        if self.keepers and not self.vmm_lives:
            return ("--keeper", self.plan.keeper_socket)
        return ("--pid", str(self.vmm.pid), "--ram-size", str(self.plan.memory_mib << 20))

    def beacons(self, by: Deadline) -> Beacons:
        """Wait until each vCPU has said where its page is.

        Raises:
            DeadlineError: one did not; the message has the last lines of its console.
            InfraError: the VMM ended before.
        """
        wanted = self.plan.vcpus

        def said() -> Beacons | None:
            found = list(_BEACON.finditer(self._said()))
            pages = {int(m[1]): int(m[2], 16) for m in found}
            if len(pages) == wanted:
                return Beacons(pages, bytes.fromhex(found[0][3]))
            if not self.vmm_lives:
                raise InfraError(f"the VMM of {self.plan.name} ended:\n{self.last_words()}")
            return None

        try:
            return until(f"the beacons of {self.plan.name}", said, by, every=0.15)
        except InfraError as e:
            raise type(e)(f"{e}\n{self.last_words()}") from e

    def locate(self, beacons: Beacons, by: Deadline) -> dict[int, int]:
        """Find each vCPU's page in L1's physical memory, with L1's help."""
        found = labvmm(
            self.host.session,
            "locate",
            *self.ram,
            *(hex(gpa) for gpa in beacons.pages.values()),
            by=by,
        )
        phys = found["phys"]
        return {vcpu: int(phys[hex(gpa)], 16) for vcpu, gpa in beacons.pages.items()}

    def kill_vmm(self, by: Deadline) -> None:
        """Kill the VMM alone by SIGKILL, and wait until it has ended; keepers live on.

        Raises:
            InfraError: The VMM has ended already.
            DeadlineError: The VMM does not end.
        """
        kill(self.host.session, self.vmm.pid, by)

    def kill(self) -> None:
        """End that very VMM and who else holds the guest, at the end of a cell.

        Raises:
            DeadlineError: they do not go.
        """
        by = self.host.by_guest()
        for holder in (self.vmm, *self.keepers):
            if self._lives(holder):
                self.host.session.run(["kill", "-KILL", str(holder.pid)], by=by)
        until(f"the end of {self.plan.name}", lambda: None if self.held else True, by)

    def last_words(self) -> str:
        """Give the end of its console and of its VMM's log, for a message."""
        parts = []
        for what, path in (("console", self.plan.console), ("VMM", self.plan.log)):
            lines = self.host.session.run(["tail", "-n", str(_LAST_WORDS), path]).stdout
            parts.append(f"{what}:\n{lines or '(nothing)'}")
        return "\n".join(parts)

    def _said(self) -> str:
        return self.host.session.get(self.plan.console).decode(errors="replace")
