# SPDX-License-Identifier: Apache-2.0
"""Each step that may move a guest's pages has the eye find them again; adoptions are counted."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab.config.cell_request import CellRequest
from lab.config.model import Accel, Cell, DisruptionKind, LabConfig, Options, Orphaning, VmmKind
from lab.deadline import Deadline
from lab.disruption.delivered import Delivered
from lab.errors import InfraError
from lab.guest.handover.protocol import OrphanStatus, VcpuSeen
from lab.observe.identity import Happened
from lab.runner import following
from lab.runner.following import Following, followed
from lab.verdict.evidence import Tally

LAB = LabConfig.model_validate({"kernel": {"stock": {"recipe": "stock"}}})
BY = Deadline.after(1)
GUEST: Any = SimpleNamespace(plan=SimpleNamespace(name="g", vcpus=2))
MOVED: Any = SimpleNamespace(plan=GUEST.plan)


class Abi:
    """An ABI that moves a guest, and answers for some of its vCPUs."""

    name, orphans = "any", True

    def __init__(self, vcpus: int = 2) -> None:
        self.vcpus = vcpus

    def prepare_for_kernel_exit(self, _guest: object, _by: object) -> Any:
        """Move it, if it can be."""
        return MOVED if self.vcpus else _guest

    def adopt(self, guest: Any, _by: object) -> Any:
        """Take it."""
        return guest

    def status(self, _guest: object, _by: object) -> OrphanStatus:
        """Answer for so many."""
        seen = tuple(VcpuSeen(n, "RUNNING", "INTR", None, 0, 0) for n in range(self.vcpus))
        return OrphanStatus("GONE", "run", 0, seen)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    found: list[object] = []
    monkeypatch.setattr(following, "look_again", lambda _seen, guest: found.append(guest))
    return found


def abi(vcpus: int = 2) -> Following:
    eye = SimpleNamespace(mark=lambda _: 0.0)
    return Following(cast("Any", Abi(vcpus)), cast("Any", SimpleNamespace(eye=eye)))


def test_the_eye_looks_again_after_it_was_made_ready_and_after_each_adoption(
    looks: list[object],
) -> None:
    handover = abi()
    moved = handover.prepare_for_kernel_exit(GUEST, BY)
    handover.adopt(moved, BY)
    assert looks == [MOVED, MOVED]
    assert handover.adoptions == 1
    assert handover.began is not None


def test_a_guest_that_could_not_be_made_ready_was_not_moved(looks: list[object]) -> None:
    handover = abi(0)
    assert handover.prepare_for_kernel_exit(GUEST, BY) is GUEST
    assert (looks, handover.began) == ([], None)


def test_a_guest_that_is_nowhere_after_a_step_is_judged_by_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nowhere(*_: object) -> None:
        raise InfraError("nowhere")

    monkeypatch.setattr(following, "look_again", nowhere)
    assert abi().prepare_for_kernel_exit(GUEST, BY) is MOVED


def test_a_vcpu_without_a_line_is_no_answer() -> None:
    with pytest.raises(InfraError, match="has 2 vCPUs, but its kernel lists 1"):
        abi(1).status(GUEST, BY)
    assert abi(0).status(GUEST, BY).vcpus == ()
    assert len(abi(2).status(GUEST, BY).vcpus) == 2


def test_a_driver_that_is_followed_is_another_with_the_same_ways() -> None:
    driver: Any = SimpleNamespace(handover=Abi(), kind=VmmKind.LABVMM)
    other, handover = followed(driver, cast("Any", None))
    assert other.handover is handover
    assert other.kind is VmmKind.LABVMM
    assert isinstance(driver.handover, Abi)


def cell(disruption: DisruptionKind, **options: Any) -> Cell:
    made = CellRequest(vmm=VmmKind.LABVMM, disruption=disruption).cell(LAB, accel=Accel.TCG)
    return made.model_copy(update={"options": Options(orphaning=Orphaning.ASYNC, **options)})


def delivered(kexecs: int = 0) -> Delivered:
    facts = {"kexecs": kexecs} if kexecs else {}
    return Delivered(Happened("it", 1.0, 2.0), GUEST, facts)


def tallies(made: Cell, done: Delivered, *, adoptions: int, gone: bool) -> tuple[Tally, ...]:
    handover = abi()
    handover.adoptions = adoptions
    return handover.tallies(made, done, gone=gone)


def test_so_many_kexecs_and_adoptions_are_wanted_as_the_cell_says() -> None:
    hundred = cell(DisruptionKind.KEXEC, kexecs=100)
    assert tallies(hundred, delivered(1), adoptions=1, gone=True) == (
        Tally("kexecs", 100, 1),
        Tally("adoptions", 100, 1),
    )


def test_a_guest_that_lost_its_vmm_has_to_be_adopted() -> None:
    killed = cell(DisruptionKind.VMM_KILL)
    assert tallies(killed, delivered(), adoptions=0, gone=True) == (Tally("adoptions", 1, 0),)


@pytest.mark.parametrize(
    ("made", "gone"),
    [
        (cell(DisruptionKind.NONE), False),
        (cell(DisruptionKind.VMM_KILL, policy="kill"), True),
    ],
)
def test_a_guest_with_a_vmm_or_of_policy_kill_is_not_adopted(made: Cell, gone: bool) -> None:
    assert tallies(made, delivered(), adoptions=0, gone=gone) == (Tally("adoptions", 0, 0),)
