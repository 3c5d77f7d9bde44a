# SPDX-License-Identifier: Apache-2.0
"""A guest whose RAM is taken away or changed, or that never looks at it: what was seen of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lab.observe.identity import Undisturbed
from lab.testing.simulated_guest import FakeVcpu, Rehearsal
from lab.testing.simulated_ram import FakeRam
from lab.verdict.evidence import Evidence, ParkedClaim, Stop


def finds_its_ram_changed_after(
    change: Callable[[FakeRam], None],
) -> Callable[[Rehearsal], Evidence]:
    """Be away for two seconds, and beat on with its RAM changed, the beacon's page not."""

    def finds_its_ram_changed(r: Rehearsal) -> Evidence:
        struck = r.now()
        r.guest.freeze()
        r.watch(2)
        change(ram_of(r.guest.vcpus[-1]))
        r.guest.thaw()
        r.watch(8)
        return r.evidence(struck)

    return finds_its_ram_changed


def found_its_ram_changed_before(r: Rehearsal) -> Evidence:
    ram_of(r.guest.vcpus[0]).flip_a_bit()
    r.watch(2)
    struck = r.now()
    r.watch(8)
    return r.evidence(struck)


def had_its_ram_changed_at_the_first_look(r: Rehearsal) -> Evidence:
    ram_of(r.guest.vcpus[0]).overwrite()
    r.watch(2)
    r.start()
    struck = r.now()
    r.watch(8)
    return r.evidence(struck)


def looks_at_its_ram_no_more(r: Rehearsal) -> Evidence:
    """Beat on as if nothing had happened, with all that verified left behind."""
    struck = r.now()
    stop_looking(r.guest.vcpus[-1])
    r.watch(8)
    return r.evidence(struck)


def is_left_alone_and_looks_no_more(r: Rehearsal) -> Evidence:
    return replace(looks_at_its_ram_no_more(r), disruption=Undisturbed())


def says_that_it_cannot_look_any_more(r: Rehearsal) -> Evidence:
    """Claim to be one of those that never could."""
    struck = r.now()
    vcpu = r.guest.vcpus[-1]
    stop_looking(vcpu)
    assert vcpu.page.more is not None
    vcpu.page = replace(vcpu.page, more=replace(vcpu.page.more, ram_verified=None))
    r.watch(8)
    return r.evidence(struck)


def looks_at_its_ram_until_it_was_stopped(r: Rehearsal) -> Evidence:
    """Verify pages after it was struck, and none after it was resumed."""
    struck = r.now()
    r.watch(2)
    began = r.guest.now
    r.guest.freeze()
    r.watch(2)
    stop_looking(r.guest.vcpus[-1])
    r.guest.thaw()
    stop = Stop(began, r.guest.now, "its memory was preserved")
    r.watch(8)
    return replace(r.evidence(struck), stops=(stop,))


def is_parked_and_verifies_nothing(r: Rehearsal) -> Evidence:
    struck = r.now()
    r.guest.freeze()
    r.watch(8)
    return replace(r.evidence(struck), parked=ParkedClaim("vCPU 0 PAUSED"))


def ram_of(vcpu: FakeVcpu) -> FakeRam:
    assert vcpu.ram is not None
    return vcpu.ram


def stop_looking(vcpu: FakeVcpu) -> None:
    vcpu.ram = None
