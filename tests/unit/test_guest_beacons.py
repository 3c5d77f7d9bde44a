# SPDX-License-Identifier: Apache-2.0
"""Waiting for a guest's beacons: what its console printed, and what is said if its VMM ended."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lab.config.model import GuestKind, VmmKind
from lab.deadline import Deadline
from lab.errors import InfraError
from lab.guest.guest import GuestPlan, RunningGuest
from lab.observe.identity import ProcessIdentity
from lab.ssh.session import Result

BOOT = "0123456789abcdef" * 2
LOG = "qemu: no such CPU model"


def guest(console: str) -> RunningGuest:
    """Return a guest whose VMM has ended with `LOG`, after this much came on the console."""

    def get(path: str) -> bytes:
        if path.endswith("/stat"):
            raise InfraError("there is no such file")
        return console.encode()

    def run(argv: list[str], **_: object) -> Result:
        return Result("tail", 0, LOG if argv[-1].endswith("vmm.log") else console, "")

    host: Any = SimpleNamespace(session=SimpleNamespace(get=get, run=run))
    plan = GuestPlan(name="g", kind=GuestKind.LINUX, vmm=VmmKind.QEMU)
    return RunningGuest(host, plan, ProcessIdentity(7, 55, "S", 1))


def test_the_page_of_each_vcpu_is_read_from_the_console() -> None:
    found = guest(f"BEACON vcpu=0 gpa=0x1000 boot={BOOT}\n").beacons(Deadline.after(1))
    assert (found.pages, found.boot_id.hex()) == ({0: 0x1000}, BOOT)


def test_a_vmm_that_ended_is_reported_with_its_log_once() -> None:
    with pytest.raises(InfraError, match="the VMM of g ended before its guest beat") as e:
        guest("").beacons(Deadline.after(1))
    assert str(e.value).count(LOG) == 1
