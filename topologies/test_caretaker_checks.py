# SPDX-License-Identifier: Apache-2.0
"""What passed the caretaker's checks, though the processor has it not: refused, by CPUID."""

from __future__ import annotations

import pytest

from lab.testing.swallowed import SwallowedHost
from lab.testing.unavailable import unavailable_here

pytestmark = [pytest.mark.tier("nightly"), pytest.mark.arch("x86_64")]

EFER, TCE = 0xC000_0080, 1 << 15
EIO, EINVAL = "-5", "-22"


def test_no_guest_gets_a_vmsave_that_is_not_virtual(swallowed: SwallowedHost) -> None:
    """It would write to physical memory past its nested table."""
    grown = swallowed.counted("vmcb_refused")
    assert swallowed.caretaker.do("loose_vmcb")[0] == EINVAL
    assert grown() == [1]


def test_efer_takes_no_bit_that_the_processor_lacks(swallowed: SwallowedHost) -> None:
    if " tce" in swallowed.host.session.check(["cat", "/proc/cpuinfo"]):
        why = "this processor has translation cache extension"
        unavailable_here(why, saw="flag tce in /proc/cpuinfo")
    now = int(swallowed.caretaker.do("rdmsr", EFER)[1], 16)
    grown = swallowed.counted("msr_refused")
    assert swallowed.caretaker.do("wrmsr", EFER, now | TCE) == [EIO]
    assert grown() == [1]
    assert int(swallowed.caretaker.do("rdmsr", EFER)[1], 16) == now


@pytest.mark.parametrize(
    "msr",
    [
        pytest.param(0xC001_0010, id="syscfg"),
        pytest.param(0xC001_0016, id="iorr_base"),
        pytest.param(0xC001_001A, id="top_mem"),
        pytest.param(0xC001_001D, id="top_mem2"),
        pytest.param(0xC001_0113, id="smm_mask"),
    ],
)
def test_what_is_memory_stays_what_it_is(swallowed: SwallowedHost, msr: int) -> None:
    now = int(swallowed.caretaker.do("rdmsr", msr)[1], 16)
    grown = swallowed.counted("msr_refused")
    assert swallowed.caretaker.do("wrmsr", msr, now ^ 0x20_0000) == [EIO]
    assert grown() == [1]
    assert int(swallowed.caretaker.do("rdmsr", msr)[1], 16) == now


def test_machine_check_banks_are_the_hosts(swallowed: SwallowedHost) -> None:
    """They lie outside of the permission map; Linux reads them at its first poll."""
    bank_0_status, no_bank = 0xC000_2001, 0xC000_3001
    grown = swallowed.counted("msr_refused")
    assert swallowed.caretaker.do("rdmsr", bank_0_status) == ["0", "0"]
    assert swallowed.caretaker.do("wrmsr", bank_0_status, 0) == ["0"]
    assert grown() == [0]
    assert swallowed.caretaker.do("rdmsr", no_bank)[0] == EIO
    assert grown() == [1]


def test_how_memory_is_cached_is_not_changed(swallowed: SwallowedHost) -> None:
    """A write is dropped, as Linux takes #GP for a broken processor."""
    default_type, write_back_on = 0x2FF, 0xC06
    now = int(swallowed.caretaker.do("rdmsr", default_type)[1], 16)
    grown = swallowed.counted("msr_refused")
    assert swallowed.caretaker.do("wrmsr", default_type, now) == ["0"]
    assert grown() == [0]
    assert swallowed.caretaker.do("wrmsr", default_type, now ^ write_back_on) == ["0"]
    assert int(swallowed.caretaker.do("rdmsr", default_type)[1], 16) == now
    assert grown() == [1]


def test_caches_are_not_thrown_away(swallowed: SwallowedHost) -> None:
    """INVD ends the host's run; what is dirty is written back."""
    before = swallowed.caretaker.log().count("for an INVD of the host's")
    assert swallowed.caretaker.do("invd") == ["0"]
    assert swallowed.caretaker.log().count("for an INVD of the host's") == before + 1
