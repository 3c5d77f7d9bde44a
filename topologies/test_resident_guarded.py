# SPDX-License-Identifier: Apache-2.0
"""What would lose a resident guest, or a CPU that had one, by mistake: refused.

A release of its host, an IPI with the vector of an exception to its CPU, a next kernel whose page
tables have another depth, a new caretaker in place of the code that a CPU halts in.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from lab.config.model import KexecLoad
from lab.deadline import Deadline
from lab.errors import InfraError
from lab.host import kexec as kexecs
from lab.runner.lab_session import LabSession
from lab.testing.resident import Resident
from lab.testing.swallowed import SwallowedHost
from lab.testing.unavailable import unavailable_here

pytestmark = [
    pytest.mark.tier("nightly"),
    pytest.mark.arch("x86_64"),
    pytest.mark.timeout(1800),
    pytest.mark.twin("test_a_cpu_that_halts_in_the_image_keeps_it"),
]

EXCEPTION = 1 << 32 | 0x4014  # fixed, to the CPU whose APIC has the id 1, vector 20


@pytest.fixture
def resident(swallowed: SwallowedHost, lab_session: LabSession) -> Iterator[Resident]:
    """Start a guest under KVM that has to live at the end."""
    with ExitStack() as stack:
        guest = Resident.start(swallowed.host, lab_session.lab.watch, stack)
        yield guest
        guest.insist_unmoved()


def test_its_host_cannot_be_released(swallowed: SwallowedHost, resident: Resident) -> None:
    resident.make_resident()
    with pytest.raises(InfraError, match="resource busy"):
        swallowed.caretaker.release()
    assert resident.vcpu_states() == ["held"]
    resident.insist_lives()


@pytest.mark.twin(
    "test_resident_disasters.py::test_a_caretaker_that_lets_it_through_loses_the_guest"
)
@pytest.mark.parametrize(
    "icr",
    [
        pytest.param(EXCEPTION, id="named"),
        pytest.param(0xC4014, id="to-others"),
        pytest.param(1 << 32 | 0x4110, id="lowest-priority"),
    ],
)
def test_no_ipi_raises_an_exception_there(
    swallowed: SwallowedHost, resident: Resident, icr: int
) -> None:
    resident.make_resident()
    grown = swallowed.counted("icr_refused")
    assert swallowed.caretaker.do("icr", icr) == ["0"]
    assert grown() == [1]
    assert resident.vcpu_states() == ["held"]
    resident.insist_lives()


def test_a_kernel_of_another_depth_is_not_entered(resident: Resident) -> None:
    flags = resident.host.session.check(["cat", "/proc/cpuinfo"])
    if " la57" not in flags:
        why = "this processor's page tables have 4 levels only"
        unavailable_here(why, saw="no flag la57 in /proc/cpuinfo")
    resident.make_resident()
    resident.load("-s", cmdline=f"{resident.host.cmdline(nonce='0' * 16)} no5lvl")
    resident.insist_kexec_refused(
        "the next kernel's command line has no5lvl, and this kernel has 5 levels of page tables",
    )


def test_a_cpu_that_halts_in_the_image_keeps_it(
    swallowed: SwallowedHost, lab_session: LabSession
) -> None:
    """Its vCPU has been retrieved, and the session is not finished: an NMI would reach it."""
    with ExitStack() as stack:
        guest = Resident.start(swallowed.host, lab_session.lab.watch, stack)
        guest.make_resident()
        host, by = swallowed.host, Deadline.after(swallowed.host.patience.kexec)
        kexecs.jump(host, kexecs.load(host, how=KexecLoad.FILE_LOAD, by=by), by)
        adopter = guest.start_adopter("--halt-at", "vcpus")
        with pytest.raises(InfraError, match="resource busy"):
            SwallowedHost.of(host).caretaker.replace()
        guest.kill_process(adopter)
        guest.insist_lost()
