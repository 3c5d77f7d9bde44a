# SPDX-License-Identifier: Apache-2.0
"""A host whose kernel dies in ways that leave no other: its guest beats on, until CPUs are reset.

A panic with a crash kernel, and a reset by itself, are cells of x86_64-reference.toml.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from lab.caretaker.control import DEEDS, Caretaker
from lab.config.model import KexecLoad
from lab.deadline import Deadline, until
from lab.errors import InfraError
from lab.host import kexec as kexecs
from lab.host.host import ready_line
from lab.runner.lab_session import LabSession
from lab.testing.resident import Resident
from lab.testing.swallowed import Boot

pytestmark = [
    pytest.mark.tier("nightly"),
    pytest.mark.arch("x86_64"),
    pytest.mark.timeout(1800),
    pytest.mark.twin("test_a_caretaker_that_lets_it_through_loses_the_guest"),
]

ENDED = "cpu 0: stopped: the host shut this CPU down (triple fault)"
PANIC = "Kernel panic - not syncing: "
NO_INIT = "rdinit=/there-is-none"
# A kernel that comes by KHO reserves early, in what its predecessor kept free for that.
ROOM_FOR_ITS_CRASH = "kho_scratch=16M,64M,600M"
INIT = 1 << 32 | 0x4500  # to the CPU whose APIC has the id 1


@pytest.fixture
def resident(boot: Boot, lab_session: LabSession) -> Iterator[Resident]:
    """Return a guest that is resident on a host of this test's own."""
    with ExitStack() as stack:
        guest = Resident.start(boot("caretaker=on"), lab_session.lab.watch, stack)
        guest.make_resident()
        guest.insist_lives()
        yield guest


def insist_lost_by_reset(guest: Resident) -> None:
    """Press the host's reset button: it boots, and nothing of the guest is left."""
    host, by = guest.host, Deadline.after(guest.host.patience.boot)
    mark = host.console.mark()
    host.domain.reset()
    host.console.wait_for(ready_line(host.nonce), by, since=mark)
    host.reconnect(by)
    guest.insist_lost()


@pytest.mark.twin(itself="its guest is lost by the reset at its end")
def test_the_host_shuts_down_by_a_triple_fault(resident: Resident) -> None:
    """Its only CPU is the caretaker's to stop; what that writes to a port is all that is told."""
    host = resident.host
    told = host.blueprint.folder / "debug.log"
    host.taint("it is to shut down")
    host.session.spawn(["sh", "-c", f"echo triple >{DEEDS}"], "/dev/null")

    def ended() -> bool | None:
        return ENDED in told.read_text(encoding="ascii", errors="replace") or None

    until("the caretaker to tell of it", ended, host.by_guest())
    resident.insist_lives()
    insist_lost_by_reset(resident)


@pytest.mark.twin(itself="its guest is lost by the reset at its end")
def test_the_next_kernel_panics_before_anybody_adopts_it(resident: Resident) -> None:
    """It has no init, and no crash kernel: it stands still, and the guest does not."""
    host, mark = resident.host, resident.host.console.mark()
    words = host.cmdline(nonce=secrets.token_hex(8), extra=(NO_INIT, "panic=0"))
    resident.load("-s", cmdline=words)
    host.taint("it was told to enter a kernel that panics")
    host.session.spawn(["sh", "-c", "sleep 0.2; exec kexec -e"], "/run/lab/kexec.log")

    def panicked() -> bool | None:
        return any(PANIC in line for line in host.console.lines()[mark.line :]) or None

    until("the next kernel to panic", panicked, Deadline.after(host.patience.kexec))
    host.console.forgive()
    resident.insist_lives()
    insist_lost_by_reset(resident)


@pytest.mark.twin(itself="its guest is lost by the reset at its end")
def test_the_next_kernel_panics_and_a_third_boots(boot: Boot, lab_session: LabSession) -> None:
    """Its crash kernel is that: KHO tells it nothing, so nobody can adopt the guest there."""
    host = boot("caretaker=on", ROOM_FOR_ITS_CRASH)
    first = host.nonce
    by = Deadline.after(3 * host.patience.kexec)
    with ExitStack() as stack:
        guest = Resident.start(host, lab_session.lab.watch, stack)
        guest.make_resident()
        kexecs.jump(host, kexecs.load(host, how=KexecLoad.FILE_LOAD, by=by), by)
        assert guest.vcpu_states() == ["held"]
        kexecs.panic(host, kexecs.load_crash(host, by=by), by)
        assert guest.vcpu_states() == []
        guest.insist_lives()
        with pytest.raises(InfraError):
            guest.adopt()
        guest.insist_lives()
        host.nonce = first  # a reset boots as the machine did at first
        insist_lost_by_reset(guest)


def test_an_init_does_not_reach_the_cpu_that_it_is_on(resident: Resident) -> None:
    caretaker = Caretaker(resident.host.session)
    before = caretaker.counters()["icr_refused"]
    assert caretaker.do("icr", INIT) == ["0"]
    assert caretaker.counters()["icr_refused"] == before + 1
    resident.insist_lives()


def test_a_caretaker_that_lets_it_through_loses_the_guest(
    boot: Boot, lab_session: LabSession
) -> None:
    """The mutant: its CPU is reset, and nobody is told."""
    host = boot("caretaker=on", "caretaker_mutant=inits", kernel="mutant")
    with ExitStack() as stack:
        guest = Resident.start(host, lab_session.lab.watch, stack)
        guest.make_resident()
        guest.insist_lives()
        host.taint("one of its CPUs was reset")
        Caretaker(host.session).do("icr", INIT)
        guest.insist_silent()
        assert guest.vcpu_states() == ["held"]
