# SPDX-License-Identifier: Apache-2.0
"""Who holds a guest on its way over a kexec is killed, at each phase of it: is it lost, or not?

The table is in the kernel's Documentation/virt/caretaker.rst. A phase is where labvmm says that
it is, and stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from lab.config.model import KexecLoad
from lab.deadline import Deadline, until
from lab.host import kexec as kexecs
from lab.host.commands import LABVMM
from lab.runner.lab_session import LabSession
from lab.testing.resident import Resident
from lab.testing.swallowed import SwallowedHost

pytestmark = [
    pytest.mark.tier("nightly"),
    pytest.mark.arch("x86_64"),
    pytest.mark.timeout(1800),
    pytest.mark.twin("test_its_vmm_before_it_is_handed_over"),
]

GONE = re.compile(r"caretaker: the vCPU on CPU 1 (.*), and nobody has it: stopped")


@pytest.fixture
def resident(swallowed: SwallowedHost, lab_session: LabSession) -> Iterator[Resident]:
    """Return a guest that runs under KVM."""
    with ExitStack() as stack:
        yield Resident.start(swallowed.host, lab_session.lab.watch, stack)


def insist_said(guest: Resident, since: int, what: str) -> None:
    """Assert that the kernel logs why it ended a vCPU without a file descriptor."""

    def said() -> list[str] | None:
        lines = guest.host.console.lines()[since:]
        return [m[1] for line in lines if (m := GONE.search(line))] or None

    assert until("the kernel to say it", said, guest.host.by_guest()) == [what]


def test_its_vmm_before_it_is_handed_over(resident: Resident) -> None:
    resident.kill_process(resident.guest.vmm.pid)
    resident.insist_lost()


@pytest.mark.parametrize("phase", ["handed-over", "memory", "moved", None], ids=str)
def test_its_vmm_once_it_is_handed_over(resident: Resident, phase: str | None) -> None:
    """Its keeper has all of the guest by then, and goes on."""
    keeper = resident.make_resident(*(["--halt-at", phase] if phase else []))
    resident.kill_process(resident.guest.vmm.pid)
    if phase:
        resident.host.session.check(["kill", "-USR1", str(keeper)])
    until(
        "it to be resident",
        lambda: resident.vcpu_states() == ["held"] or None,
        resident.host.by_guest(),
    )
    resident.insist_lives()
    resident.kill_process(keeper)


@pytest.mark.parametrize("phase", ["handed-over", "memory"])
def test_its_keeper_before_it_has_moved(resident: Resident, phase: str) -> None:
    """Its VMM cannot know that it has not, and must not run it twice: silent until that ends."""
    resident.kill_process(resident.make_resident("--halt-at", phase))
    resident.insist_lost()
    assert resident.vmm_says() == "handed-over"


@pytest.mark.parametrize("loaded", [False, True], ids=["preserved", "loaded"])
@pytest.mark.parametrize("phase", ["moved", None], ids=str)
def test_its_keeper_once_it_has_moved(resident: Resident, phase: str | None, loaded: bool) -> None:
    """It lives by its keeper's descriptors, and the session is cancelled."""
    if loaded:
        resident.load("-s")
    keeper = resident.make_resident(*(["--halt-at", phase] if phase else []))
    resident.insist_lives()
    since = resident.host.console.mark().line
    resident.kill_process(keeper)
    resident.insist_lost()
    insist_said(resident, since, "was closed")


@pytest.mark.parametrize(
    ("phase", "says"),
    [("session", "was not retrieved"), ("memory", "was not retrieved"), ("vcpus", "")],
)
def test_its_adopter_before_it_has_finished(resident: Resident, phase: str, says: str) -> None:
    """The session ends with it, and is retrieved once: the rest of it is discarded."""
    resident.make_resident()
    host, by = resident.host, Deadline.after(resident.host.patience.kexec)
    kexecs.jump(host, kexecs.load(host, how=KexecLoad.FILE_LOAD, by=by), by)
    resident.insist_lives()
    adopter = resident.start_adopter("--halt-at", phase)
    since = host.console.mark().line
    resident.kill_process(adopter)
    resident.insist_lost()
    if says:
        insist_said(resident, since, says)
    again = host.session.run([*LABVMM, *resident.adopt_command()])
    assert again.status == 1
    assert "left no session" in again.stderr
