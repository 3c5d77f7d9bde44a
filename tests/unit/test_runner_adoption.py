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
from lab.verdict.problem import Problem, ProblemKind


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


def asked(monkeypatch: pytest.MonkeyPatch, policy: OrphanPolicy, *said: OrphanStatus) -> Asked:
    """See a guest through whose kernel answers so, one answer for each time that it is asked."""
    monkeypatch.setattr(watch, "pause", lambda _: None)
    found = Asked(said)
    found.fate = adoption.see_through(
        found.guest, found.abi, policy=policy, watch=Watch(), seen=found.seen, course=found.course
    )
    return found


class Asked:
    """A guest, its ABI and the eye on it, which note what was done."""

    def __init__(self, said: tuple[OrphanStatus, ...]) -> None:
        answers = iter(said)
        self.done: list[str] = []
        self.course = Course()
        self.fate: Fate | None = None
        patience = SimpleNamespace(command=1)
        host = SimpleNamespace(patience=patience)
        self.guest: Any = SimpleNamespace(host=host, vmm=SimpleNamespace(pid=7), vmm_lives=True)
        self.adopter: Any = SimpleNamespace(host=host, vmm=SimpleNamespace(pid=8), vmm_lives=True)
        self.abi: Any = SimpleNamespace(
            status=lambda *_: next(answers), verify_from_l0=self._look, adopt=self._adopt
        )
        eye = SimpleNamespace(pages={0: 4096}, mark=self._mark)
        self.seen: Any = SimpleNamespace(eye=eye)

    def _look(self, guest: object, pages: object, _by: object) -> Proof:
        assert guest is self.guest
        assert pages == {0: 4096}
        self.done.append("look")
        return unseen("KVM hides it")

    def _adopt(self, *_: object) -> Any:
        self.done.append("adopt")
        return self.adopter

    def _mark(self, what: str) -> float:
        self.done.append(f"mark {what}")
        return float(len(self.done))


def test_a_guest_that_is_to_die_with_its_vmm_is_not_adopted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = asked(monkeypatch, OrphanPolicy.KILL)  # nobody is asked: there is no answer
    assert found.fate is not None
    assert (found.fate.guest, found.done, found.course.facts) == (found.guest, [], {})


@pytest.mark.parametrize("policy", [OrphanPolicy.RUN, OrphanPolicy.PARK])
def test_a_guest_that_is_nowhere_is_not_adopted(
    monkeypatch: pytest.MonkeyPatch, policy: OrphanPolicy
) -> None:
    found = asked(monkeypatch, policy, OrphanStatus("GONE", "run", 0, ()))
    assert found.fate is not None
    assert (found.fate.guest, found.fate.parked, found.done) == (found.guest, None, [])
    assert found.course.facts["orphan"] == "owner GONE, adopted 0 times; "


def test_a_guest_that_runs_though_it_had_to_be_parked_is_not_adopted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = asked(monkeypatch, OrphanPolicy.PARK, status("GONE", 3, "RUNNING"))
    assert found.fate is not None
    assert (found.fate.guest, found.fate.parked, found.done) == (found.guest, None, [])


@pytest.mark.parametrize(
    ("policy", "state", "parked"),
    [
        (OrphanPolicy.PARK, "PAUSED", True),
        (OrphanPolicy.RUN, "RUNNING", False),
        (OrphanPolicy.RUN, "PAUSED", False),  # it happens to wait for an exit
    ],
)
def test_an_orphan_is_looked_at_before_it_is_adopted_and_watched_on(
    monkeypatch: pytest.MonkeyPatch, policy: OrphanPolicy, state: str, parked: bool
) -> None:
    found = asked(monkeypatch, policy, status("GONE", 3, state), status("PRESENT", 4, "RUNNING"))
    fate = found.fate
    assert fate is not None
    assert found.done == ["look", "mark adopt", "adopt", "mark adopted"]
    assert [label for label, _ in found.course.phases] == ["adopt", "watch adopted"]
    assert (fate.guest, found.course.facts["adopted_by"]) == (found.adopter, 8)
    assert (fate.parked is not None, fate.resumed is not None) == (parked, parked)
    assert fate.adopted == (None if parked else 4.0)
    assert found.course.problems == []


@pytest.mark.parametrize(
    "now", [status("GONE", 4, "RUNNING"), status("PRESENT", 3, "RUNNING"), status("PRESENT", 5)]
)
def test_its_kernel_says_whether_it_was_adopted(
    monkeypatch: pytest.MonkeyPatch, now: OrphanStatus
) -> None:
    found = asked(monkeypatch, OrphanPolicy.RUN, status("GONE", 3, "RUNNING"), now)
    said = f"it was not adopted, and its kernel says: {now}"
    assert found.course.problems == [Problem(ProblemKind.PRODUCT, said)]


def test_the_time_that_is_judged_ends_with_the_last_watch_but_for_a_parked_guest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter(range(1000))
    tick = SimpleNamespace(monotonic=lambda: float(next(clock)))
    monkeypatch.setattr(adoption, "time", tick)
    monkeypatch.setattr(watch, "time", tick)
    ran = asked(
        monkeypatch, OrphanPolicy.RUN, status("GONE", 3, "RUNNING"), status("PRESENT", 4, "RUNNING")
    ).fate
    parked = asked(
        monkeypatch, OrphanPolicy.PARK, status("GONE", 3), status("PRESENT", 4, "RUNNING")
    ).fate
    assert ran is not None
    assert parked is not None
    assert parked.resumed is not None
    assert ran.end == 2.0  # of 0.0 to 2.0: before, and from the adoption on
    assert (parked.end, parked.resumed.began, parked.resumed.ended) == (3.0, 4.0, 5.0)
