# SPDX-License-Identifier: Apache-2.0
"""A host that comes by kexec from a kernel of another build puts its own caretaker in place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from lab.caretaker.swallow_proof import require_swallowed
from lab.config.model import KexecLoad
from lab.deadline import Deadline
from lab.errors import InfraError
from lab.host import kexec as kexecs
from lab.runner.lab_session import LabSession
from lab.testing.resident import Resident
from lab.testing.swallowed import Boot, SwallowedHost

pytestmark = [
    pytest.mark.tier("nightly"),
    pytest.mark.arch("x86_64"),
    pytest.mark.timeout(1800),
    pytest.mark.twin(itself="its guest loses nothing: it looks for a replacement that ends it"),
]

REPLACED = re.compile(r"caretaker: replaced; the host was native for (\d+) us")
REFUSED = re.compile(r"caretaker: the new one was refused \((-\d+)\); the host is native")
AGAIN = 5


@pytest.fixture
def guest(boot: Boot, lab_session: LabSession) -> Iterator[Resident]:
    """Return a guest under KVM, on a swallowed host of this test's own."""
    with ExitStack() as stack:
        yield Resident.start(boot("caretaker=on"), lab_session.lab.watch, stack)


def insist_own(guest: Resident) -> None:
    """Assert that the host is swallowed, proven from outside, by what its own kernel brought."""
    host = guest.host
    by = host.by_guest()
    require_swallowed(host.session, host.domain, host.blueprint.kernel, by)
    built, below = SwallowedHost.of(host).caretaker.digests()
    assert built == below


def test_a_guest_runs_on_while_the_caretaker_is_replaced(guest: Resident) -> None:
    caretaker = SwallowedHost.of(guest.host).caretaker
    for _ in range(AGAIN):
        caretaker.replace()
        guest.insist_lives()
    insist_own(guest)
    said = REPLACED.findall(guest.host.session.check(["dmesg"]))
    assert len(said) == AGAIN
    print(f"native for {', '.join(said)} us")  # noqa: T201 - shown by pytest


@pytest.mark.twin("x86_64-tcg-reference-swallowed-spinner-labvmm-kexec-resident_unpreserved")
def test_caretaker_of_another_build_is_replaced_after_adoption(
    guest: Resident, lab_session: LabSession
) -> None:
    host, by = guest.host, Deadline.after(guest.host.patience.kexec)
    other = lab_session.images.outfit(
        lab_session.lab.kernel_for("mutant"), host.blueprint.request.arch
    ).kernel
    guest.make_resident()
    kexecs.jump(host, kexecs.load(host, how=KexecLoad.FILE_LOAD, by=by, other=other), by)
    caretaker = SwallowedHost.of(host).caretaker
    built, below = caretaker.digests()
    assert built != below
    with pytest.raises(InfraError, match="Device or resource busy"):
        caretaker.replace()
    guest.adopt()
    caretaker.replace()
    built, below = caretaker.digests()
    assert built == below
    guest.insist_lives()
    require_swallowed(host.session, host.domain, other, host.by_guest())


def test_refused_replacement_leaves_host_native_and_guest_alive(guest: Resident) -> None:
    caretaker, since = SwallowedHost.of(guest.host).caretaker, guest.host.console.mark().line
    caretaker.do("fail_cpu", 1)
    with pytest.raises(InfraError, match="Input/output error"):
        caretaker.replace()
    assert caretaker.state == "released"
    assert REFUSED.findall("\n".join(guest.host.console.lines()[since:])) == ["-5"]
    guest.insist_lives()
    with pytest.raises(InfraError, match="already in progress"):
        caretaker.replace()
    caretaker.swallow()
    insist_own(guest)
    guest.insist_lives()
