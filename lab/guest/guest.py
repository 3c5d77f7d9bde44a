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
from lab.guest.cgroup import cgroup_of, kill_all, processes_in
from lab.host.commands import kill, labvmm, lives
from lab.host.host import RunningHost
from lab.observe.identity import ProcessIdentity

_BEACON = re.compile(r"BEACON vcpu=(\d+) gpa=0x([0-9a-f]+) boot=([0-9a-f]{32})")
_LAST_WORDS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestPlan:
    """What an L2 is started with.

    Attributes:
        name: Unique on its host; its folder and cgroup there are called after it.
        kind: Linux, or one of the bare payloads.
        vmm: The program that runs it.
        vcpus: How many.
        memory_mib: RAM in MiB.
        words: More words for its command line.
        protected: Its memory is hidden from its host (pKVM).
        orphan_policy: What its vCPUs do while no VMM owns it: "run", "park" or "kill".
        canary: 16 random bytes by which its beacon is found in L1's memory; a secret of L0.
        key: 16 random bytes that its beats are signed with; a secret of L0.
    """

    name: str
    kind: GuestKind
    vmm: VmmKind
    vcpus: int = 1
    memory_mib: int = 256
    words: tuple[str, ...] = ()
    protected: bool = False
    orphan_policy: str = "run"
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
    def keeper_socket(self) -> str:
        """The control socket in L1 of the keeper, which has the guest while no VMM does."""
        return str(self.folder / "keeper.sock")


@dataclass(frozen=True, slots=True)
class Beacons:
    """What the guest printed on its console.

    Attributes:
        pages: The guest-physical address of each vCPU's page.
        boot_id: 16 bytes that are other ones at each boot of the guest.
    """

    pages: Mapping[int, int]
    boot_id: bytes


@dataclass(frozen=True, slots=True)
class RunningGuest:
    """An L2 whose VMM was started; the same value for its whole life under that VMM.

    Attributes:
        host: The L1 that it runs in.
        plan: What it was started with.
        vmm: Its VMM's process.
        keepers: The other processes that have its file descriptors open.
    """

    host: RunningHost
    plan: GuestPlan
    vmm: ProcessIdentity
    keepers: tuple[ProcessIdentity, ...] = ()

    @property
    def vmm_lives(self) -> bool:
        """Whether that very VMM process, not one that has its pid, still runs."""
        return lives(self.host.session, self.vmm)

    @property
    def vmm_or_keeper_lives(self) -> bool:
        """Whether a process that has its file descriptors open lives: its VMM or a keeper."""
        return self.vmm_lives or any(lives(self.host.session, keeper) for keeper in self.keepers)

    @property
    def cgroup(self) -> str:
        """The folder in L1 of its VMM's cgroup, in which no keeper is."""
        return cgroup_of(self.vmm.pid)

    def vmm_processes(self, by: Deadline) -> tuple[str, ...]:
        """List what lives in its VMM's cgroup: the VMM, and what that has started.

        Args:
            by: When to give up.

        Returns:
            Pid and name of each; none if the VMM is dead.

        Raises:
            InfraError: The cgroup cannot be read.
        """
        return processes_in(self.host.session, self.cgroup, by)

    @property
    def ram(self) -> tuple[str, ...]:
        """The arguments that tell a labvmm subcommand which process has the guest's RAM.

        Where no VMM lives, a keeper's descriptors lead to it.
        """
        if self.keepers and not self.vmm_lives:
            return ("--keeper", self.plan.keeper_socket)
        return ("--pid", str(self.vmm.pid), "--ram-size", str(self.plan.memory_mib << 20))

    def beacons(self, by: Deadline) -> Beacons:
        """Wait until each vCPU has printed on the console where its page is.

        Args:
            by: When to give up.

        Returns:
            The page of each vCPU, and the guest's boot id.

        Raises:
            DeadlineError: A vCPU printed nothing; the message has the last lines of the console.
            InfraError: The VMM ended before; the message has the last lines of its log, too.
        """
        wanted = self.plan.vcpus

        def said() -> Beacons | None:
            found = list(_BEACON.finditer(self._said()))
            pages = {int(m[1]): int(m[2], 16) for m in found}
            if len(pages) == wanted:
                return Beacons(pages, bytes.fromhex(found[0][3]))
            if not self.vmm_lives:
                raise InfraError(f"the VMM of {self.plan.name} ended before its guest beat:")
            return None

        try:
            return until(f"the beacons of {self.plan.name}", said, by, every=0.15)
        except InfraError as e:
            raise type(e)(f"{e}\n{self.last_words()}") from e

    def locate(self, beacons: Beacons, by: Deadline) -> dict[int, int]:
        """Translate each vCPU's page to L1's physical memory, with L1's help.

        The VMM's /proc/PID/maps and pagemap are read; of an orphan, those of a process that maps
        the keeper's descriptor.

        Args:
            beacons: Guest-physical addresses, as the guest printed them.
            by: When to give up.

        Returns:
            The host-physical address of each page, by vCPU.

        Raises:
            InfraError: The process has no such RAM, or a page is not in memory.

        Source: Documentation/admin-guide/mm/pagemap.rst.
        """
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

        Its cgroup is not killed: the threads that run a guest without a VMM are in there.

        Raises:
            InfraError: The VMM has ended already.
            DeadlineError: The VMM does not end, or something is left of it.
        """
        kill(self.host.session, self.vmm.pid, by)
        until(
            f"the cgroup of VMM {self.vmm.pid} to be empty",
            lambda: None if self.vmm_processes(by) else True,
            by,
        )

    def kill(self) -> None:
        """Kill that very VMM, what it has started, and the keepers by SIGKILL, at a cell's end.

        Raises:
            DeadlineError: One of them does not end within `patience.guest`.
        """
        by = self.host.by_guest()
        for one in (self.vmm, *self.keepers):
            if lives(self.host.session, one):
                self.host.session.run(["kill", "-KILL", str(one.pid)], by=by)
        kill_all(self.host.session, self.cgroup, by)
        until(
            f"the end of {self.plan.name}", lambda: None if self.vmm_or_keeper_lives else True, by
        )

    def end(self) -> None:
        """End it, so that its host can be used again; a host of which it does not go is tainted."""
        if self.host.tainted or not self.vmm_or_keeper_lives:
            return
        try:
            self.kill()
        except InfraError as e:
            self.host.taint(f"its guest could not be ended: {e}")

    def last_words(self) -> str:
        """Read the last 12 lines of the guest's console and of its VMM's log, for a message.

        Returns:
            Both under their names; "(nothing)" for one that is empty or cannot be read.

        Raises:
            UnreachableError: The session with L1 died.
        """
        parts = []
        for what, path in (("console", self.plan.console), ("VMM", self.plan.log)):
            lines = self.host.session.run(["tail", "-n", str(_LAST_WORDS), path]).stdout
            parts.append(f"{what}:\n{lines or '(nothing)'}")
        return "\n".join(parts)

    def _said(self) -> str:
        return self.host.session.get(self.plan.console).decode(errors="replace")
