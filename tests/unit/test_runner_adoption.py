# SPDX-License-Identifier: Apache-2.0
"""An orphan is parked, or adopted, if its kernel says so; one that was parked has to go on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lab.config.model import OrphanPolicy, Watch
from lab.errors import InfraError
from lab.guest.handover.protocol import OrphanStatus, VcpuSeen
from lab.observe.proof import Method, Proof, unseen
from lab.runner import adoption
from lab.runner.adoption import claim_of, not_adopted
from lab.runner.result import CellResult


def status(owner: str = "GONE", generation: int = 3, *states: str) -> OrphanStatus:
    vcpus = [
        VcpuSeen(n, state, "INTR", None if state == "RUNNING" else "0x402208", 7, 7)
        for n, state in enumerate(states or ("PAUSED",))
    ]
    return OrphanStatus(owner, "park", generation, tuple(vcpus))


def test_a_kernel_that_holds_all_vcpus_says_where() -> None:
    claim = claim_of(status("GONE", 3, "PAUSED", "STOPPED"))
    assert claim is not None
    assert (
        claim.why == "vCPU 0 PAUSED after INTR at 0x402208; vCPU 1 STOPPED after INTR at 0x402208"
    )


@pytest.mark.parametrize(
    "seen", [status("GONE", 3, "PAUSED", "RUNNING"), status("PRESENT", 3, "PAUSED")]
)
def test_what_runs_or_has_an_owner_is_not_parked(seen: OrphanStatus) -> None:
    assert claim_of(seen) is None


def test_an_adoption_is_an_owner_and_the_next_generation() -> None:
    assert not not_adopted(status(), status("PRESENT", 4))


@pytest.mark.parametrize(
    "after", [status("GONE", 4), status("PRESENT", 3), status("PRESENT", 5), status()]
)
def test_an_adopter_that_only_says_so_is_seen_through(after: OrphanStatus) -> None:
    assert not_adopted(status(), after).startswith("it was not adopted, and its kernel says: owner")


@pytest.mark.parametrize(
    ("proof", "fault"),
    [
        (Proof(Method.SVM_STATE, "on its own table", right=True), []),
        (Proof(Method.SVM_STATE, "on the host's table", right=False), ["on the host's table"]),
        (unseen("KVM hides it"), []),
    ],
)
def test_failed_proof_from_l0_is_a_product_failure(
    monkeypatch: pytest.MonkeyPatch, proof: Proof, fault: list[str]
) -> None:
    said = iter([status("GONE", 3, "RUNNING"), status("PRESENT", 4, "RUNNING")])
    abi: Any = SimpleNamespace(
        status=lambda *_: next(said),
        verify_from_l0=lambda *_: proof,
        adopt=lambda guest, _: guest,
    )
    monkeypatch.setattr(adoption, "pause", lambda _: None)
    patience = SimpleNamespace(command=1)
    guest: Any = SimpleNamespace(
        host=SimpleNamespace(patience=patience),
        vmm=SimpleNamespace(pid=7),
        vmm_lives=True,
    )
    seen: Any = SimpleNamespace(eye=SimpleNamespace(pages={0: 4096}, mark=lambda _: None))
    cell: Any = SimpleNamespace()
    result = CellResult(cell)
    adoption.see_through(
        guest, abi, policy=OrphanPolicy.RUN, watch=Watch(), seen=seen, result=result
    )
    assert result.facts["held"] == proof.seen
    assert result.facts["held_method"] == proof.method.value
    assert [problem.reason for problem in result.problems] == fault


@pytest.mark.parametrize("lives", [True, False])
def test_an_adopter_that_ends_is_not_watched_in_silence(
    monkeypatch: pytest.MonkeyPatch, lives: bool
) -> None:
    monkeypatch.setattr(adoption, "pause", lambda _: None)
    plan = SimpleNamespace(name="g")
    guest: Any = SimpleNamespace(vmm_lives=lives, plan=plan, last_words=lambda: "it crashed")
    cell: Any = SimpleNamespace()
    result = CellResult(cell)
    if lives:
        assert adoption.watched_on(guest, Watch(), "watch", result).length >= 0
        return
    with pytest.raises(InfraError, match="the adopter of g ended:\nit crashed"):
        adoption.watched_on(guest, Watch(), "watch", result)
