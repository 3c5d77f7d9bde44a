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
from lab.runner.adoption import Fate
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
    course, _ = seen_through(monkeypatch, OrphanPolicy.RUN, "RUNNING", proof)
    assert course.facts["held"] == proof.seen
    assert course.facts["held_method"] == proof.method.value
    assert [problem.reason for problem in course.problems] == fault


@pytest.mark.parametrize(
    ("policy", "state", "adopted"),
    [
        (OrphanPolicy.RUN, "RUNNING", 12.0),  # the second mark: the first is before it was adopted
        (OrphanPolicy.PARK, "PAUSED", None),  # a stop says when it went on
    ],
)
def test_a_guest_that_ran_on_goes_on_when_it_was_adopted(
    monkeypatch: pytest.MonkeyPatch, policy: OrphanPolicy, state: str, adopted: float | None
) -> None:
    _, fate = seen_through(monkeypatch, policy, state, unseen("KVM hides it"))
    assert fate.adopted == adopted
    assert (fate.resumed is None) is (adopted is not None)


def seen_through(
    monkeypatch: pytest.MonkeyPatch, policy: OrphanPolicy, state: str, proof: Proof
) -> tuple[Course, Fate]:
    said = iter([status("GONE", 3, state), status("PRESENT", 4, "RUNNING")])
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
    marks = iter([11.0, 12.0])
    seen: Any = SimpleNamespace(eye=SimpleNamespace(pages={0: 4096}, mark=lambda _: next(marks)))
    course = Course()
    fate = adoption.see_through(guest, abi, policy=policy, watch=Watch(), seen=seen, course=course)
    return course, fate
