# SPDX-License-Identifier: Apache-2.0
"""What tests have in common: hosts whose guests can be orphaned, hosts with a caretaker."""

from __future__ import annotations

import re
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import pytest

from lab.caretaker.control import Caretaker, Region
from lab.caretaker.swallow_proof import is_below
from lab.config.model import Arch, Cell, GuestKind, HostMode, VmmKind
from lab.deadline import Deadline, until
from lab.guest.guest import GuestPlan, RunningGuest
from lab.guest.handover.protocol import Orphaning, OrphanStatus
from lab.guest.handover.table import orphaning_for
from lab.host.commands import LABVMM, labvmm
from lab.host.health import complaint, illness
from lab.host.host import RunningHost, booted
from lab.runner.host_request import HostRequest
from lab.runner.lab_session import Stand
from lab.runner.pool import Pool
from lab.virt.console import Mark

_BEATING = re.compile(r"BEACON beating n=2\r?\n")
_PLACES = ((Arch.X86_64, HostMode.NATIVE), (Arch.ARM64, HostMode.NVHE), (Arch.ARM64, HostMode.VHE))
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
            orphaning=self.abi.name,
            orphan_policy=policy,
        )
        guest = self.abi.start(self.host, plan, self.by)
        self.stack.callback(guest.kill)
        guest.beacons(self.by)
        until("beats", lambda: _BEATING.search(self.console(guest)), self.by)
        return guest

    def kill_vmm(self, guest: RunningGuest) -> OrphanStatus:
        """Kill its VMM, and wait until it is an orphan; say what its kernel says then."""
        self.kill(guest.vmm.pid)
        return self.until_orphan(guest)

    def until_orphan(self, guest: RunningGuest) -> OrphanStatus:
        """Wait until nobody owns it any more; say what its kernel says then."""

        def orphan() -> OrphanStatus | None:
            status = self.status(guest)
            return status if status.owner == "GONE" else None

        return until("an orphan", orphan, self.by)

    def kill(self, pid: int) -> None:
        """Kill a process of this test's."""
        self.host.session.check(["kill", "-KILL", str(pid)], by=self.by)

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
    """Insist that its kernel complained of nothing; its console is shown if something failed."""
    sys.stdout.write("\n".join(host.console.lines()[since.line :]))
    bad = complaint(host, since)
    assert not bad, bad


# Of the module, so that pytest does all tests of one host before it turns to the next.
@pytest.fixture(scope="module", params=_PLACES, ids="-".join)
def place(request: pytest.FixtureRequest, cells: tuple[Cell, ...]) -> Cell:
    """Give a cell of each kind of host whose guests can be orphaned."""
    arch, mode = request.param
    mine = (cell for cell in cells if (cell.arch, cell.mode) == (arch, mode))
    able = next((cell for cell in mine if cell.options.orphaning), None)
    if able is None:
        pytest.skip(f"no cell of this run has guests of {arch}, {mode}, that can be orphaned")
    return able


@pytest.fixture
def orphans(place: Cell, pool: Pool) -> Iterator[Orphans]:
    """Lease a host whose guests can be orphaned."""
    with pool.lease(HostRequest.of(place)) as host, ExitStack() as stack:
        stack.callback(insist_quiet, host, host.console.mark())  # when all guests have gone
        abi = orphaning_for(place.options.orphaning or "none")
        assert abi.can(host, host.by_guest()) is None
        yield Orphans(host, abi, stack)


_LOOKS = 30


@dataclass
class Kept:
    """A host with a caretaker, seen from inside and from outside."""

    host: RunningHost
    caretaker: Caretaker
    region: Region

    @classmethod
    def of(cls, host: RunningHost) -> Kept:
        """Look at `host`."""
        caretaker = Caretaker(host.session)
        return cls(host, caretaker, caretaker.region())

    @property
    def spare(self) -> int:
        """An offset in private memory where nothing is; the caretaker's tables end before."""
        return self.region.size - 4096 + 64

    def counted(self, *names: str) -> Callable[[], list[int]]:
        """Give a function that says by how much each of these counters has grown since."""
        before = self.caretaker.counters()

        def grown() -> list[int]:
            now = self.caretaker.counters()
            return [now[name] - before[name] for name in names]

        return grown

    def below(self) -> list[bool]:
        """Say of each CPU whether it is below the caretaker, as QEMU holds it.

        One may be in the caretaker at that moment, and is so most of the time just after it came
        on-line, when its guests' tables are filled anew: it is looked for many times.
        """
        found = [False] * self.host.blueprint.vcpus
        for _ in range(_LOOKS):
            looks = [is_below(cpu, self.region) for cpu in self.host.domain.cpus()]
            found = [before or now for before, now in zip(found, looks, strict=True)]
            if all(found):
                break
        return found

    def insist_sound(self) -> None:
        """Insist that the host lives, is swallowed on each CPU, and that its caretaker is whole."""
        assert self.caretaker.native_cpus() == ([], self.host.blueprint.vcpus)
        built, below = self.caretaker.digests()
        assert built == below
        assert illness(self.host) is None


@pytest.fixture(scope="session")
def wish(cells: tuple[Cell, ...]) -> HostRequest:
    """Give what a host is like that is swallowed at boot."""
    swallowed = next((cell for cell in cells if cell.mode is HostMode.SWALLOWED), None)
    if swallowed is None:
        pytest.skip("no cell of this run has a swallowed host")
    return HostRequest.of(swallowed)


@pytest.fixture
def kept(wish: HostRequest, pool: Pool) -> Iterator[Kept]:
    """Lease a swallowed host, which has to be as sound after the test."""
    with pool.lease(wish) as host:
        yield Kept.of(host)
        Kept.of(host).insist_sound()  # by another session, if its kernel is another one


Boot = Callable[..., RunningHost]


@pytest.fixture
def boot(wish: HostRequest, pool: Pool, stand: Stand) -> Iterator[Boot]:
    """Give a function that boots a host for this test alone, natively, with more words."""
    pool.close()
    with ExitStack() as stack:

        def native(*words: str, kernel: str = wish.kernel, vcpus: int = wish.vcpus) -> RunningHost:
            like = replace(wish, kernel=kernel, mode=HostMode.NATIVE, vcpus=vcpus)
            plan = stand.blueprint(like, f"own{secrets.token_hex(2)}")
            plan = replace(plan, words=(*plan.words, *words))
            return stack.enter_context(booted(stand.connection, plan, stand.sink))

        yield native
