# SPDX-License-Identifier: Apache-2.0
"""A guest that becomes resident, and what its host may then try with it."""

from __future__ import annotations

import re
import secrets
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from lab.config.model import GuestKind, VmmKind, Watch
from lab.deadline import until
from lab.guest.guest import GuestPlan
from lab.guest.handover.launch import ready
from lab.guest.vmms.table import driver_for
from lab.host.commands import LABVMM, kill, labvmm
from lab.host.host import INITRD_IN_L1, RunningHost
from lab.runner.watch import look_again
from lab.ssh.session import Result
from lab.testing.watched_guest import WatchedGuest

BZIMAGE = "/lab/bzImage"
ONLINE = "/sys/devices/system/cpu/online"
_REFUSED = re.compile(r"caretaker: kexec refused: (.*)")

_NO_EXEC = "Exec format error"


@dataclass
class Resident(WatchedGuest):
    """A guest, of one vCPU by default, that can be made resident."""

    sockets: list[str] = field(default_factory=list)

    @classmethod
    def start(
        cls,
        host: RunningHost,
        watch: Watch,
        stack: ExitStack,
        *,
        orphaning: str = "resident",
        kind: GuestKind = GuestKind.SPINNER,
        vcpus: int = 1,
        words: tuple[str, ...] = (),
    ) -> Resident:
        """Start one, under KVM."""
        plan = GuestPlan(
            name=f"resident-{secrets.token_hex(4)}",
            kind=kind,
            vmm=VmmKind.LABVMM,
            vcpus=vcpus,
            memory_mib=128 if kind is GuestKind.LINUX else 64,
            words=("beacon.period_us=4000", *words),
        )
        vmm = driver_for(plan.vmm, orphaning)
        return cls.begin(host, vmm, plan, watch, stack)

    @property
    def session(self) -> str:
        """The name of the LUO session that preserves it."""
        return f"lab-{self.guest.plan.name}"

    def move_command(self, verb: str, *words: str) -> list[str]:
        """Return the arguments of labvmm that make it resident; its VMM lives on."""
        vmm = self.guest.plan.socket
        cpus = map(str, range(1, 1 + self.guest.plan.vcpus))
        about = ("--session", self.session, "--vmm", vmm, "--cpus", *cpus)
        return ["resident", verb, *about, *words]

    def make_resident(self, *words: str) -> int:
        """Make it resident; return the pid of its keeper, or of one that halts on the way."""
        socket = f"{self.guest.plan.folder}/{secrets.token_hex(3)}.sock"
        argv = [*LABVMM, *self.move_command("move-in", "--socket", socket, *words)]
        keeper = ready(self.host, argv, f"{socket}.log", "its keeper", self.host.by_guest())
        self.sockets.append(socket)
        look_again(self.seen, self.guest)  # pinned pages were migrated out of KHO's scratch memory
        return keeper.pid

    def kill_process(self, pid: int) -> None:
        """Kill a process of its host, and wait until that has ended."""
        kill(self.host.session, pid, self.host.by_guest())

    def cancel(self) -> None:
        """Have its VMM resume it, under KVM."""
        self.labvmm("ctl", "--socket", self.sockets.pop(), "cancel")

    def adopt(self) -> None:
        """Start a VMM of the next kernel that adopts it."""
        super().adopt()
        self.sockets.clear()

    def labvmm(self, *words: str) -> Any:
        """Run a labvmm command in the host."""
        return labvmm(self.host.session, *words, by=self.host.by_guest())

    def vmm_says(self) -> str:
        """Return the state that its VMM reports."""
        return str(self.labvmm("ctl", "--socket", self.guest.plan.socket, "status")["state"])

    def vcpu_states(self) -> list[str]:
        """Return the state of each vCPU that is resident on its host, "held" or "parked".

        The words are those of /sys/kernel/caretaker/vcpus.
        """
        lines = self.host.session.check(["cat", "/sys/kernel/caretaker/vcpus"]).splitlines()
        return [line.split()[1] for line in lines]

    def cpus(self) -> str:
        """Return which CPUs are online, as "0-1"."""
        return self.host.session.check(["cat", ONLINE]).strip()

    def load(self, *how: str, image: str = BZIMAGE, cmdline: str | None = None) -> None:
        """Load a kernel for kexec."""
        words = self.host.cmdline(nonce=secrets.token_hex(8)) if cmdline is None else cmdline
        argv = [*how, "-l", image, f"--initrd={INITRD_IN_L1}", f"--command-line={words}"]
        self.host.session.check(["kexec", *argv], by=self.host.by_guest())

    def jump(self) -> tuple[Result, list[str]]:
        """Try to enter the loaded kernel with the network left up, where that is refused.

        If it is not refused, the host is lost.

        Returns:
            What `kexec -e` reported, and the reasons that the kernel logged.
        """
        mark = self.host.console.mark()
        before = self.host.tainted
        self.host.taint("it was ordered to enter another kernel")
        said = self.host.session.run(["kexec", "-e", "-x"])
        self.host.tainted = before

        def reasons() -> list[str] | None:
            lines = self.host.console.lines()[mark.line :]
            return [m[1] for line in lines if (m := _REFUSED.search(line))] or None

        return said, until("the kernel to say why", reasons, self.host.by_guest())

    def insist_lost(self) -> None:
        """Assert that it beats no more, and that its CPU is the host's again."""
        by = self.host.by_guest()
        until("no vCPU to be resident", lambda: self.vcpu_states() == [] or None, by)
        until("all CPUs to be online", lambda: self.cpus() == "0-1" or None, by)
        self.insist_silent()

    @property
    def folder(self) -> PurePosixPath:
        """Where its files are inside its host."""
        return self.guest.plan.folder

    def adopt_command(self) -> list[str]:
        """Return the arguments of labvmm that adopt it in the next kernel."""
        plan = self.guest.plan
        about = ["--session", self.session, "--socket", plan.socket, "--console", plan.console]
        return ["resident", "adopt", *about]

    def start_adopter(self, *options: str) -> int:
        """Start an adopter, and wait until it runs the guest or halts on the way.

        Args:
            options: More of them for `labvmm resident adopt`.

        Returns:
            The pid of the adopter in the host.
        """
        self.host.session.check(["mkdir", "-p", str(self.folder)])
        argv = [*LABVMM, *self.adopt_command(), *options]
        log = f"{self.folder}/adopter.log"
        return ready(self.host, argv, log, "its adopter", self.host.by_guest()).pid

    def insist_unmoved(self) -> None:
        """Assert that it lives, and that its VMM has it again once its move was cancelled."""
        self.insist_lives()
        if self.sockets:
            assert self.vcpu_states() == ["held"]
            self.cancel()
            assert self.vmm_says() == "running"
            self.insist_lives()
        assert self.vcpu_states() == []
        assert self.cpus() == "0-1"

    def insist_kexec_refused(self, why: str) -> None:
        """Assert that the loaded kernel is not entered, and that the kernel's reason is `why`."""
        said, reasons = self.jump()
        assert said.status != 0
        assert _NO_EXEC in said.stderr
        assert reasons == [why]
