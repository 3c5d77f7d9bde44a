# SPDX-License-Identifier: Apache-2.0
"""A host that is swallowed and released while it works and its guests run; and how that fails.

`LAB_MOVES=200 pytest topologies --lab-tier=nightly -k moves` does it so often; the long day of
tier soak is of `LAB_SOAK_S` seconds.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator

import pytest

from lab.caretaker.control import DEEDS
from lab.config.model import GuestKind, VmmKind
from lab.deadline import Deadline, pause, until
from lab.errors import InfraError
from lab.guest.guest import GuestPlan, RunningGuest
from lab.guest.vmms.table import driver_for
from lab.host.commands import kill
from lab.host.health import complaint
from lab.host.host import RunningHost
from lab.observe.console_sequence import heard
from lab.testing.swallowed import Boot, SwallowedHost

pytestmark = [
    pytest.mark.tier("nightly"),
    pytest.mark.arch("x86_64"),
    pytest.mark.timeout(7200),
    pytest.mark.twin(
        itself="nothing that its guests need is taken away: it looks for a move that ends one"
    ),
]

MOVES = int(os.environ.get("LAB_MOVES", "5"))
SOAK_S = float(os.environ.get("LAB_SOAK_S", "3600"))
CPU1 = "/sys/devices/system/cpu/cpu1/online"
ENDED = "the host shut this CPU down (triple fault)"

# What a host does all day; it says how often it went round.
WORK = """
n=0
while :; do
    for i in 1 2 3 4 5 6 7 8; do echo "$n" >/tmp/work.$i; done
    cat /tmp/work.? | sort | grep -c "^$n$" >/tmp/sum && [ "$(cat /tmp/sum)" = 8 ] || exit 1
    rm /tmp/work.?
    n=$((n + 1)); echo "$n" >/run/lab/rounds
done
"""


@pytest.fixture
def ready(boot: Boot) -> SwallowedHost:
    """Return a host of this test's, native, that can be swallowed."""
    return SwallowedHost.of(boot("caretaker=ready"))


def nmis(swallowed: SwallowedHost, times: int) -> None:
    """Send so many NMIs to each CPU."""
    words = " ".join(f"'icr {cpu << 32 | 0x4400:#x}'" for cpu in (0, 1))
    loop = f"for i in $(seq {times}); do for w in {words}; do echo $w >{DEEDS}; done; done"
    swallowed.host.session.check(["sh", "-c", loop])


class Life:
    """Guests that talk, and a host that works: whether all of them go on."""

    def __init__(self, host: RunningHost) -> None:
        self.host = host
        self.since = host.console.mark()
        self.guests = [self._start(GuestKind.TICKER, 64), self._start(GuestKind.LINUX, 128)]
        self.worker = host.session.spawn(["sh", "-c", WORK], "/run/lab/work.log")
        self.rounds()

    def _start(self, kind: GuestKind, mib: int) -> RunningGuest:
        plan = GuestPlan(
            name=f"moved-{secrets.token_hex(4)}",
            kind=kind,
            vmm=VmmKind.LABVMM,
            vcpus=2,
            memory_mib=mib,
            words=("beacon.chat_ms=50",),
        )
        guest = driver_for(plan.vmm).start(self.host, plan, self.host.by_guest())
        guest.beacons(self.host.by_guest())
        return guest

    def rounds(self) -> int:
        """Return how often the host's work was done, once it was."""

        def done() -> int | None:
            said = self.host.session.run(["cat", "/run/lab/rounds"]).stdout
            return int(said) if said.strip() else None

        return until("work to be done", done, self.host.by_guest())

    def lines(self) -> list[int]:
        """Return how many lines of each guest came, none of them lost or repeated."""
        found = [heard(self.host.session.get(g.plan.console).decode()) for g in self.guests]
        assert [one.reason for one in found] == [""] * len(found)
        return [one.lines for one in found]

    def insist_on(self) -> None:
        """Assert that all of it goes on from here, and that the kernel complained of nothing."""
        lines, rounds = self.lines(), self.rounds()

        def more() -> bool | None:
            went_on = [now > before for now, before in zip(self.lines(), lines, strict=True)]
            return True if all(went_on) and self.rounds() > rounds else None

        until("guests and host to go on", more, self.host.by_guest())
        assert complaint(self.host, self.since) is None

    def end(self) -> None:
        """End all of it."""
        kill(self.host.session, self.worker, self.host.by_guest())
        for guest in self.guests:
            guest.kill()


@pytest.fixture
def life(ready: SwallowedHost) -> Iterator[Life]:
    """Return a host that works, and guests of it that run."""
    alive = Life(ready.host)
    yield alive
    alive.end()


def test_moves_do_not_disturb_guests_or_host(ready: SwallowedHost, life: Life) -> None:
    for _ in range(MOVES):
        ready.caretaker.swallow()
        assert ready.caretaker.native_cpus() == ([], 2)
        assert ready.below() == [True, True]
        ready.caretaker.release()
        assert ready.caretaker.native_cpus()[0] == ["0 native", "1 native"]
        assert ready.below() == [False, False]
    life.insist_on()
    ready.caretaker.swallow()
    life.insist_on()
    assert len(set(ready.caretaker.digests())) == 1


def test_a_cpu_that_goes_and_comes_is_released_and_swallowed(
    ready: SwallowedHost, life: Life
) -> None:
    ready.caretaker.swallow()
    for _ in range(MOVES):
        ready.host.session.check(["sh", "-c", f"echo 0 >{CPU1}"])
        assert ready.below() == [True, False]
        ready.host.session.check(["sh", "-c", f"echo 1 >{CPU1}"])
        assert ready.below() == [True, True]
    life.insist_on()


def test_if_one_cpu_cannot_go_down_none_does(ready: SwallowedHost, life: Life) -> None:
    for cpu in (0, 1):
        ready.caretaker.do("fail_cpu", cpu)
        with pytest.raises(InfraError, match="Input/output error"):
            ready.caretaker.swallow()
        assert ready.caretaker.state == "released"
        assert ready.below() == [False, False]
    life.insist_on()
    ready.caretaker.swallow()
    assert ready.below() == [True, True]
    life.insist_on()


def test_moves_that_are_none_are_refused(ready: SwallowedHost) -> None:
    with pytest.raises(InfraError, match="'release' on"):
        ready.caretaker.release()
    ready.caretaker.swallow()
    with pytest.raises(InfraError, match="'swallow' on"):
        ready.caretaker.swallow()
    assert ready.below() == [True, True]


def test_nmis_reach_the_host_and_end_no_guest(ready: SwallowedHost, life: Life) -> None:
    ready.caretaker.swallow()
    grown = ready.counted("nmi", "icr_refused")
    met = 0
    for _ in range(20):  # one in some twenty meets a guest
        nmis(ready, 25)
        met, refused = grown()
        assert refused == 0
        if met:
            break
    assert met > 0, "no NMI met a guest: the test shows nothing"
    life.insist_on()


@pytest.mark.tier("soak")
def test_a_long_day(ready: SwallowedHost, life: Life) -> None:
    """CPUs come and go, NMIs fly, guests and host go on; and the counters add up."""
    by = Deadline.after(SOAK_S)
    ready.caretaker.swallow()
    days = 0
    while by.left > 0:
        nmis(ready, 10)
        ready.host.session.check(["sh", "-c", f"echo 0 >{CPU1} && echo 1 >{CPU1}"])
        assert ready.below() == [True, True]
        if days % 10 == 0:
            ready.caretaker.release()
            ready.caretaker.swallow()
        life.insist_on()
        days += 1
    found = ready.caretaker.counters()
    print(f"{days} days in {SOAK_S:.0f} s: {found}")  # noqa: T201 - the figures of a soak
    explained = ("hypercall", "msr", "private", "npf_other", "svm_refused", "hypercall_user")
    # KVM executes one STGI on each CPU that goes: it is let through, and has no counter.
    assert found["exits"] - days == sum(found[name] for name in explained)
    assert found["nmi"] + found["intr"] <= found["run"] <= found["hypercall"]
    assert found["icr"] <= found["msr"]
    # Linux sends two SIPIs to a CPU that comes: at the second it often is below by then.
    assert found.pop("icr_refused") <= days
    refused = [name for name, count in found.items() if name.endswith("_refused") and count]
    assert refused == []
    assert found["private"] == found["npf_other"] == 0


def test_triple_faulting_cpu_is_parked_and_reported_outside(boot: Boot) -> None:
    """With no help from Linux: the caretaker writes to a port of the machine's."""
    swallowed = SwallowedHost.of(boot("caretaker=on"))
    host, told = swallowed.host, swallowed.host.blueprint.folder / "debug.log"
    assert swallowed.below() == [True, True]
    host.taint("one of its CPUs is to shut down")
    deed = ["taskset", "-c", "1", "sh", "-c", f"echo triple >{DEEDS}"]
    host.session.spawn(deed, "/dev/null")

    def line() -> str | None:
        lines = told.read_text(encoding="ascii", errors="replace").splitlines()
        return next((line for line in lines if ENDED in line), None)

    said = until("the caretaker to tell of it", line, host.by_guest())
    assert said.startswith("caretaker: cpu 1: stopped: ")
    state = dict(re.findall(r"(\w+)=([0-9a-f]+)", said))
    assert int(state["exit"], 16) == 0x7F
    assert int(state["rip"], 16) >> 47 == (1 << 17) - 1, "its kernel was at work"
    assert int(state["cr3"], 16)
    pause(0.5)
    assert host.domain.state() == "running"
    assert swallowed.below() == [True, False]
