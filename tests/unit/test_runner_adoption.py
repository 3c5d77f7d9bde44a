# SPDX-License-Identifier: Apache-2.0
"""What L0 sees of an orphan counts, whoever adopts it afterwards."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lab.config.model import OrphanPolicy, Watch
from lab.guest.handover.protocol import OrphanStatus, VcpuSeen
from lab.observe.proof import Method, Proof, unseen
from lab.runner import adoption, watch
from lab.runner.course import Course


def status(owner: str = "GONE", generation: int = 3, *states: str) -> OrphanStatus:
    vcpus = [
        VcpuSeen(n, state, "INTR", None if state == "RUNNING" else "0x402208", 7, 7)
        for n, state in enumerate(states or ("PAUSED",))
    ]
    return OrphanStatus(owner, "park", generation, tuple(vcpus))


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
    monkeypatch.setattr(watch, "pause", lambda _: None)
    patience = SimpleNamespace(command=1)
    guest: Any = SimpleNamespace(
        host=SimpleNamespace(patience=patience),
        vmm=SimpleNamespace(pid=7),
        vmm_lives=True,
    )
    seen: Any = SimpleNamespace(eye=SimpleNamespace(pages={0: 4096}, mark=lambda _: None))
    course = Course()
    adoption.see_through(
        guest, abi, policy=OrphanPolicy.RUN, watch=Watch(), seen=seen, course=course
    )
    assert course.facts["held"] == proof.seen
    assert course.facts["held_method"] == proof.method.value
    assert [problem.reason for problem in course.problems] == fault
