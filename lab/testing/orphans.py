# SPDX-License-Identifier: Apache-2.0
"""A host whose guests can be orphaned, and what tests do to guests of it."""

from __future__ import annotations

import re
import secrets
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from lab.config.model import GuestKind, VmmKind
from lab.deadline import Deadline, until
from lab.guest.guest import GuestPlan, RunningGuest
from lab.guest.handover.protocol import Orphaning, OrphanStatus
from lab.host.commands import LABVMM, kill, labvmm
from lab.host.health import complaint
from lab.host.host import RunningHost
from lab.virt.console import Mark

_BEATING = re.compile(r"BEACON beating n=2\r?\n")
_MIB = {GuestKind.LINUX: 128, GuestKind.TICKER: 64, GuestKind.SPINNER: 64}


@dataclass
class Orphans:
    """A host, and what is done to guests of it that can be orphaned; they end with the test."""

    host: RunningHost
    abi: Orphaning
    stack: ExitStack

    @property
    def by(self) -> Deadline:
        """The deadline for a step that begins now."""
        return self.host.by_guest()

    def start(
        self, kind: GuestKind = GuestKind.TICKER, *words: str, policy: str = "run"
    ) -> RunningGuest:
        """Start a guest of two vCPUs, and see that it has said what it says when it starts."""
        plan = GuestPlan(
            name=f"orphan-{secrets.token_hex(4)}",
            kind=kind,
            vmm=VmmKind.LABVMM,
            vcpus=2,
            memory_mib=_MIB[kind],
            words=words,
            orphan_policy=policy,
        )
        guest = self.abi.start(self.host, plan, self.by)
        self.stack.callback(guest.kill)
        guest.beacons(self.by)
        until("beats", lambda: _BEATING.search(self.console(guest)), self.by)
        return guest

    def kill_vmm(self, guest: RunningGuest) -> OrphanStatus:
        """Kill its VMM, and wait until it is an orphan; say what its kernel says then."""
        guest.kill_vmm(self.by)
        return self.until_orphan(guest)

    def until_orphan(self, guest: RunningGuest) -> OrphanStatus:
        """Wait until nobody owns it any more; say what its kernel says then."""

        def orphan() -> OrphanStatus | None:
            status = self.status(guest)
            return status if status.owner == "GONE" else None

        return until("an orphan", orphan, self.by)

    def kill(self, pid: int) -> None:
        """Kill a process of this test's."""
        kill(self.host.session, pid, self.by)

    def adopt(self, guest: RunningGuest) -> RunningGuest:
        """Have a new VMM adopt it."""
        guest = self.abi.adopt(guest, self.by)
        self.stack.callback(guest.kill)
        return guest

    def status(self, guest: RunningGuest) -> OrphanStatus:
        """Ask the kernel about it."""
        return self.abi.status(guest, self.by)

    def states(self, guest: RunningGuest) -> list[str]:
        """Ask the kernel what its vCPUs do."""
        return [vcpu.state for vcpu in self.status(guest).vcpus]

    def labvmm(self, *words: str) -> Any:
        """Run a labvmm command in the host."""
        return labvmm(self.host.session, *words, by=self.by)

    def refused(self, *words: str) -> str:
        """Run a labvmm command that must fail, and give its reason."""
        said = self.host.session.run([*LABVMM, *words], by=self.by)
        assert said.status == 1, said
        return said.stderr

    def spawn(self, log: str, *words: str) -> int:
        """Start a labvmm that stays until the test ends."""
        pid = self.host.session.spawn([*LABVMM, *words], log, by=self.by)
        self.stack.callback(self.host.session.run, ["kill", "-KILL", str(pid)])
        return pid

    def second_keeper(self, guest: RunningGuest, *words: str) -> str:
        """Start a keeper that holds what the guest's own one holds; give its socket."""
        socket = f"{guest.plan.folder}/second.sock"
        log, first = f"{socket}.log", guest.plan.keeper_socket
        self.spawn(log, "keep", "--socket", socket, "--also-from", first, *words)
        until("a second keeper", lambda: self.host.session.get(log) or None, self.by)
        return socket

    def console(self, guest: RunningGuest) -> str:
        """Read what the guest printed."""
        return self.host.session.get(guest.plan.console).decode(errors="replace")

    def count(self, script: str) -> int:
        """Count the lines that a shell command prints in the host."""
        said = self.host.session.run(["sh", "-c", f"{{ {script}; }} 2>/dev/null | wc -l"])
        return int(said.stdout)

    def wait_for_nothing(self) -> None:
        """Wait until nothing in the host holds a VM, and no thread runs a vCPU."""
        scripts = ("ls -l /proc/[0-9]*/fd | grep anon_inode:kvm", "grep kvm-vcpu /proc/[0-9]*/comm")
        for script in scripts:
            until(f"no '{script}'", lambda s=script: None if self.count(s) else True, self.by)  # type: ignore[misc]


def insist_quiet(host: RunningHost, since: Mark) -> None:
    """Assert that its kernel complained of nothing; its console is shown if something failed."""
    sys.stdout.write("\n".join(host.console.lines()[since.line :]))
    bad = complaint(host, since)
    assert not bad, bad
