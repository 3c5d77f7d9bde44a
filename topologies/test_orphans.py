# SPDX-License-Identifier: Apache-2.0
"""What a guest does while nobody owns it, and that the next VMM goes on just where the last was."""

from __future__ import annotations

import time
from typing import Any

import pytest

from lab.config.model import GuestKind
from lab.deadline import pause, until
from lab.guest.guest import RunningGuest
from lab.guest.vmms.labvmm import LabVmm
from lab.observe.console_sequence import heard
from lab.observe.window import Window
from lab.runner.lab_session import LabSession
from lab.runner.watch import watched
from lab.testing.orphans import Orphans
from lab.verdict.silence import beats

pytestmark = [
    pytest.mark.tier("nightly"),  # minutes, on top of the cells that show the same
    pytest.mark.twin("test_a_guest_of_policy_kill_is_dead_and_says_so"),
]

CYCLES = 60
RUNS, WAITS, ENDED = "RUNNING", "PAUSED", "STOPPED"
HOGS = 4
HOG = "x = 0.5\nwhile True: x = x * 1.0000001 + 0.5"


def cycled(orphans: Orphans, guest: RunningGuest, *words: str) -> Any:
    """Have it adopted and the adopter killed, again and again."""
    sockets = ("--keeper", guest.plan.keeper_socket, "--socket", guest.plan.socket)
    return orphans.labvmm("cycle", *sockets, "--count", str(CYCLES), *words)


@pytest.mark.parametrize("kind", [GuestKind.TICKER, GuestKind.LINUX])
def test_nothing_is_lost_or_repeated_however_often_a_vmm_dies(
    orphans: Orphans, kind: GuestKind
) -> None:
    guest = orphans.start(kind, "beacon.chat_ms=20")
    orphans.kill_vmm(guest)
    said = cycled(orphans, guest, "--most-ms", "300")
    before = heard(orphans.console(guest)).lines
    orphans.adopt(guest)
    pause(2)
    after = heard(orphans.console(guest))
    assert after.reason == ""
    assert after.lines > before
    assert said["adoptions"] >= CYCLES // 5
    assert sum(said["exits"]) > 0


@pytest.mark.parametrize("mutant", ["repeats", "loses"])
def test_a_vmm_that_serves_an_exit_twice_or_never_is_heard(orphans: Orphans, mutant: str) -> None:
    guest = orphans.start(GuestKind.TICKER, "beacon.chat_ms=1")
    orphans.kill_vmm(guest)
    cycled(orphans, guest, "--most-ms", "600", "--mutant", mutant)
    orphans.adopt(guest)
    pause(1)
    assert heard(orphans.console(guest)).reason != ""


def test_exit_waits_for_the_adopter_while_the_other_vcpu_runs(orphans: Orphans) -> None:
    guest = orphans.start(GuestKind.TICKER, "beacon.chat_ms=50")
    orphans.kill_vmm(guest)
    pause(1)
    talks, beats = orphans.status(guest).vcpus
    assert (talks.state, beats.state) == (WAITS, RUNS)
    assert talks.exit in {"IO", "MMIO"}
    assert talks.pc is not None
    assert talks.exit_seq == talks.served + 1
    guest = orphans.adopt(guest)
    pause(1)
    assert orphans.status(guest).vcpus[0].served > talks.exit_seq
    assert heard(orphans.console(guest)).reason == ""


def test_a_parked_guest_does_not_change_and_goes_on_when_it_may(orphans: Orphans) -> None:
    guest = orphans.start(policy="park")
    orphans.kill_vmm(guest)
    assert orphans.states(guest) == [WAITS, WAITS]
    before = digest(orphans, guest)
    assert digest(orphans, guest) == before
    words = ("--keeper", guest.plan.keeper_socket, "--socket", guest.plan.socket)
    orphans.spawn(f"{guest.plan.folder}/paused.log", "adopt", "--paused", *words)
    until("an owner", lambda: orphans.status(guest).owner == "PRESENT" or None, orphans.by)
    assert digest(orphans, guest) == before
    orphans.labvmm("ctl", "--socket", guest.plan.socket, "resume")
    assert orphans.states(guest) == [RUNS, RUNS]
    pause(0.5)
    orphans.labvmm("ctl", "--socket", guest.plan.socket, "pause")
    assert digest(orphans, guest) != before


def digest(orphans: Orphans, guest: RunningGuest) -> str:
    """Hash its memory, by its keeper."""
    return str(orphans.labvmm("digest", "--keeper", guest.plan.keeper_socket)["sha256"])


def test_its_registers_are_its_own_beside_others_that_compute(
    orphans: Orphans, lab_session: LabSession
) -> None:
    """The spinner has a pattern in its FP registers, looks at it at each beat, and counts faults.

    How long it is silent beside hogs is not asked here; nor could it be told, on a small machine.
    """
    guest = orphans.start(GuestKind.SPINNER, "beacon.period_us=5000")
    session = guest.host.session
    with watched(guest, lab_session.lab.watch) as seen:
        for _ in range(HOGS):
            hog = session.spawn(["python3", "-I", "-c", HOG], "/dev/null", by=orphans.by)
            orphans.stack.callback(session.run, ["kill", "-KILL", str(hog)])
        orphans.kill_vmm(guest)
        pause(3)
        orphans.adopt(guest)
        adopted = time.monotonic()
        pause(3)
        after = Window(adopted, time.monotonic())
    trails = seen.eye.found().trails.values()
    assert [trail.owns[-1].faults for trail in trails] == [0, 0]
    assert min(beats(trail, after) for trail in trails) > 1


def test_a_guest_of_policy_kill_is_dead_and_says_so(orphans: Orphans) -> None:
    guest = orphans.start(policy="kill")
    orphans.kill_vmm(guest)
    assert orphans.states(guest) == [ENDED, ENDED]
    words = ("--keeper", guest.plan.keeper_socket, "--socket", guest.plan.socket)
    assert "KVM_ADOPT: Input/output error" in orphans.refused("adopt", *words)


def test_planned_vmm_replacement_keeps_the_guest_running(orphans: Orphans) -> None:
    guest = orphans.start(GuestKind.TICKER, "beacon.chat_ms=20")
    orphans.abi.release(guest, orphans.by)
    status = orphans.status(guest)
    assert status.owner == "RELEASED"
    assert status.vcpus[1].state == RUNS
    later = orphans.adopt(guest)
    assert (later.vmm.pid != guest.vmm.pid, orphans.status(later).generation) == (True, 1)
    last = LabVmm(orphans.abi).replace(later, orphans.by)
    orphans.stack.callback(last.kill)
    assert orphans.status(last).generation == 1 + 1
    pause(1)
    assert heard(orphans.console(last)).reason == ""


def test_a_cgroup_that_is_killed_parks_its_guest(orphans: Orphans) -> None:
    guest = orphans.start()
    script = f"echo 1 >{guest.cgroup}/cgroup.kill"
    orphans.host.session.check(["sh", "-c", script], by=orphans.by)
    until("the VMM to be gone", lambda: None if guest.vmm_lives else True, orphans.by)
    assert orphans.status(guest).owner == "GONE"
    assert orphans.states(guest) == [WAITS, WAITS]
    orphans.adopt(guest)
    assert orphans.states(guest) == [RUNS, RUNS]
