# SPDX-License-Identifier: Apache-2.0
"""An orphan is parked, or adopted, if its kernel says so."""

from __future__ import annotations

import pytest

from lab.guest.handover.protocol import OrphanStatus, VcpuSeen


def status(owner: str = "GONE", generation: int = 3, *states: str) -> OrphanStatus:
    vcpus = [
        VcpuSeen(n, state, "INTR", None if state == "RUNNING" else "0x402208", 7, 7)
        for n, state in enumerate(states or ("PAUSED",))
    ]
    return OrphanStatus(owner, "park", generation, tuple(vcpus))


def test_a_kernel_that_holds_all_vcpus_says_where() -> None:
    claim = status("GONE", 3, "PAUSED", "STOPPED").claim
    assert claim is not None
    assert (
        claim.why == "vCPU 0 PAUSED after INTR at 0x402208; vCPU 1 STOPPED after INTR at 0x402208"
    )


@pytest.mark.parametrize(
    "seen", [status("GONE", 3, "PAUSED", "RUNNING"), status("PRESENT", 3, "PAUSED")]
)
def test_what_runs_or_has_an_owner_is_not_parked(seen: OrphanStatus) -> None:
    assert seen.claim is None


def test_an_adoption_is_an_owner_and_the_next_generation() -> None:
    assert not status("PRESENT", 4).not_adopted_since(status())


@pytest.mark.parametrize(
    "after", [status("GONE", 4), status("PRESENT", 3), status("PRESENT", 5), status()]
)
def test_an_adopter_that_only_says_so_is_seen_through(after: OrphanStatus) -> None:
    said = after.not_adopted_since(status())
    assert said.startswith("it was not adopted, and its kernel says: owner")
