# SPDX-License-Identifier: Apache-2.0
"""IPIs between vCPUs that live with the caretaker, while there is no kernel to carry them.

The guest is the ticker with `beacon.relay=1`: its second vCPU has no timer, and beats when the
first one has sent it an IPI. So each of its beats is an IPI that came through.
"""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from lab.config.model import GuestKind, KexecLoad
from lab.deadline import Deadline, until
from lab.host import kexec as kexecs
from lab.runner.lab_session import LabSession
from lab.testing.resident import Resident
from lab.testing.swallowed import Boot

pytestmark = [
    pytest.mark.tier("nightly"),
    pytest.mark.arch("x86_64"),
    pytest.mark.timeout(1800),
    pytest.mark.twin("test_without_one_there_is_no_beat"),
]

CALLS, IS_CALLED = 0, 1  # vCPUs
RELAY = "beacon.relay=1"


def relay(boot: Boot, lab_session: LabSession, stack: ExitStack, *words: str) -> Resident:
    """Start that guest on a host that has a CPU for each vCPU, and one for itself."""
    host = boot("caretaker=on", vcpus=3)
    return Resident.start(
        host, lab_session.lab.watch, stack, kind=GuestKind.TICKER, vcpus=2, words=(RELAY, *words)
    )


def test_ipis_arrive_with_no_kernel_below_and_under_the_next(
    boot: Boot, lab_session: LabSession
) -> None:
    with ExitStack() as stack:
        guest = relay(boot, lab_session, stack)
        guest.insist_lives(IS_CALLED)
        guest.make_resident()
        guest.insist_lives(IS_CALLED)
        host, by = guest.host, Deadline.after(guest.host.patience.kexec)
        before = guest.beats(IS_CALLED)
        jumped = kexecs.jump(host, kexecs.load(host, how=KexecLoad.FILE_LOAD, by=by), by)
        assert guest.vcpu_states() == ["held", "held"]
        guest.insist_lives(IS_CALLED)
        assert guest.silence_s(IS_CALLED, since=before) < (jumped.kexec_s + jumped.boot_s) / 2
        guest.adopt()
        guest.insist_lives(CALLS)
        guest.insist_lives(IS_CALLED)


def test_without_one_there_is_no_beat(boot: Boot, lab_session: LabSession) -> None:
    """The control: the first waits at its console's port, and calls nobody."""
    with ExitStack() as stack:
        guest = relay(boot, lab_session, stack, "beacon.chat_ms=50")
        guest.insist_lives(IS_CALLED)
        guest.make_resident()
        by = guest.host.by_guest()
        until("it to wait", lambda: guest.vcpu_states() == ["parked", "held"] or None, by)
        guest.insist_silent(CALLS)
        guest.insist_silent(IS_CALLED)
        guest.cancel()
        guest.insist_lives(CALLS)
        guest.insist_lives(IS_CALLED)


def test_linux_shoots_translations_down_across_them(boot: Boot, lab_session: LabSession) -> None:
    """Its own count of such IPIs grows; what it then reads in memory is looked at by itself."""
    host = boot("caretaker=on", vcpus=3)
    with ExitStack() as stack:
        guest = Resident.start(
            host,
            lab_session.lab.watch,
            stack,
            kind=GuestKind.LINUX,
            vcpus=2,
            words=("beacon.work=1",),
        )
        guest.make_resident()
        by = Deadline.after(host.patience.kexec)
        kexecs.jump(host, kexecs.load(host, how=KexecLoad.FILE_LOAD, by=by), by)
        assert guest.vcpu_states() == ["held", "held"]
        before = guest.interrupts(CALLS)
        until("more shootdowns", lambda: guest.interrupts(CALLS) > before or None, host.by_guest())
        guest.insist_lives(CALLS)
        guest.insist_lives(IS_CALLED)
        guest.adopt()
        guest.insist_lives(CALLS)
        guest.insist_lives(IS_CALLED)
