# SPDX-License-Identifier: Apache-2.0
"""A guest that wants something of a VMM while there is none: that vCPU waits, the other goes on."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from lab.config.model import GuestKind, KexecLoad
from lab.deadline import Deadline, pause, until
from lab.host import kexec as kexecs
from lab.observe.console_sequence import heard
from lab.runner.lab_session import LabSession
from lab.testing.resident import Resident
from lab.testing.swallowed import Boot

pytestmark = [
    pytest.mark.tier("nightly"),
    pytest.mark.arch("x86_64"),
    pytest.mark.timeout(1800),
    pytest.mark.twin("x86_64-tcg-reference-swallowed-spinner-labvmm-kexec-resident_unpreserved"),
]

TALKS, BEATS = 0, 1  # vCPUs
TALK_MS = 50
LINES = 10


def said(guest: Resident) -> str:
    """Read its console."""
    return guest.host.session.get(guest.guest.plan.console).decode(errors="replace")


def test_pending_pio_exit_completes_once_after_adoption(
    boot: Boot, lab_session: LabSession
) -> None:
    """The next kernel has another console file: both together have to be one running count."""
    host = boot("caretaker=on", vcpus=3)
    with ExitStack() as stack:
        guest = Resident.start(
            host, lab_session.lab.watch, stack,
            kind=GuestKind.TICKER, vcpus=2, words=(f"beacon.chat_ms={TALK_MS}",),
        )  # fmt: skip
        until("it to talk", lambda: heard(said(guest)).lines > LINES or None, host.by_guest())
        guest.make_resident()
        until(
            "it to wait", lambda: guest.vcpu_states() == ["parked", "held"] or None, host.by_guest()
        )
        before = said(guest)
        guest.insist_silent(TALKS)
        guest.insist_lives(BEATS)
        by = Deadline.after(host.patience.kexec)
        kexecs.jump(host, kexecs.load(host, how=KexecLoad.FILE_LOAD, by=by), by)
        assert guest.vcpu_states() == ["parked", "held"]
        guest.insist_lives(BEATS)
        guest.adopt()
        guest.insist_lives(TALKS)
        guest.insist_lives(BEATS)
        pause(LINES * TALK_MS / 1000)
        together = heard(before + said(guest))
        assert together.reason == ""
        assert together.lines > heard(before).lines + 1
