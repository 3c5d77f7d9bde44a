# SPDX-License-Identifier: Apache-2.0
"""A test that says by hand that a guest lives has its dying twin in the same run."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import pytest

from lab.config.enums import GuestKind
from lab.record.classify import CANNOT_TELL, exit_status
from lab.record.controls import with_their_twins
from lab.record.model import CellRecord, CheckRecord, Outcome, PlanRecord
from tests.support.records import DIES, LOST, cell, run
from tests.unit.test_pytest_plugin_plan import CONTROL, LIVES, folder, ran

__all__ = ["folder"]  # the fixture of a toy

CHECKOUT = Path(__file__).parents[2]
HAND = """
import pytest

class Guest:
    def insist_lives(self): pass
    def kill_vmm(self): pass

def outlives(guest):
    guest.kill_vmm()
    guest.insist_lives()

@pytest.fixture
def guest():
    return Guest()

@pytest.fixture
def checked():
    yield
    Guest().insist_lives()

MARK
def test_it_lives(guest): outlives(guest)

def test_it_dies(request):
    assert request.config.getoption("--lab-keep") != "failed"
"""
MINE, TWIN = "topologies/test_hand.py::test_it_lives", "topologies/test_hand.py::test_it_dies"


def by_hand(folder: Path, mark: str, *options: str, code: str = HAND) -> tuple[int, CheckRecord]:
    """Run the toy with such a test; return its status, and the test's record."""
    (folder / "test_hand.py").write_text(code.replace("MARK", mark), encoding="utf-8")
    status, said, record = ran(folder, *options)
    mine = next(check for check in record.checks if check.id == MINE)
    assert record.plan is not None
    assert (MINE in record.plan.uncontrolled) is ("uncontrolled" in mine.first_cause), said
    return status, mine


@pytest.mark.parametrize(
    ("mark", "named"),
    [
        ('@pytest.mark.twin("test_it_dies")', TWIN),
        ('@pytest.mark.twin("test_hand.py::test_it_dies")', TWIN),
        (f'@pytest.mark.twin("{CONTROL}")', CONTROL),
        ('@pytest.mark.twin(itself="nothing is done to it")', None),
        ('@pytest.mark.twin("test_it_lives")', None),
    ],
)
def test_a_survival_by_hand_with_its_twin_is_green(
    folder: Path, mark: str, named: str | None
) -> None:
    status, mine = by_hand(folder, mark)
    assert (status, mine.outcome) == (0, Outcome.PASSED)
    *_, record = ran(folder, "--lab-run-id=again")
    assert record.plan is not None
    assert record.plan.twins.get(MINE) == named


@pytest.mark.parametrize(
    ("mark", "why"),
    [
        ("", 'it has no twin: name it: @pytest.mark.twin("test_x.py::test_that_it_dies")'),
        ("@pytest.mark.twin()", "it has no twin"),
        (
            '@pytest.mark.twin("test_gone")',
            "its twin topologies/test_hand.py::test_gone is no test",
        ),
        ('@pytest.mark.twin("x86_64-tcg-stock-x")', "its twin x86_64-tcg-stock-x is no test"),
    ],
)
def test_a_survival_by_hand_without_a_twin_is_named(folder: Path, mark: str, why: str) -> None:
    status, mine = by_hand(folder, mark)
    assert (status, mine.outcome) == (CANNOT_TELL, Outcome.ERROR)
    assert why in mine.first_cause


def test_a_fixture_that_insists_on_a_guest_is_a_claim_too(folder: Path) -> None:
    code = HAND.replace(
        "def test_it_lives(guest): outlives(guest)", "def test_it_lives(checked): pass"
    )
    status, _ = by_hand(folder, "", code=code)
    assert status == CANNOT_TELL


def test_a_test_that_insists_on_no_guest_needs_no_twin(folder: Path) -> None:
    code = HAND.replace(
        "def test_it_lives(guest): outlives(guest)", "def test_it_lives(guest): pass"
    )
    status, _ = by_hand(folder, "", code=code)
    assert status == 0


PLAN = PlanRecord(cells=1, checks=2, chosen_cells=1, chosen_checks=2, twins={"f::a": "f::b"})
A = CheckRecord(id="f::a", outcome=Outcome.PASSED)


def check(name: str, outcome: str = "passed") -> CheckRecord:
    return CheckRecord(id=name, outcome=Outcome(outcome))


@pytest.mark.parametrize(
    ("others", "why"),
    [
        ((check("f::b"),), ""),
        ((check("f::b[one]"), check("f::b[two]")), ""),
        ((check("f::b[one]"), check("f::b[two]", "failed")), "its twin f::b[two] did not show"),
        ((check("f::b", "unavailable"),), "its twin f::b did not show that such a guest dies"),
        ((check("f::bb"),), "its twin f::b is not in this run"),
        ((), "its twin f::b is not in this run"),
    ],
)
def test_a_twin_has_to_show_the_death(others: tuple[CheckRecord, ...], why: str) -> None:
    found = with_their_twins((A, *others), (), PLAN)
    assert found[1:] == others
    assert found[0].outcome is (Outcome.ERROR if why else Outcome.PASSED)
    assert why in found[0].first_cause
    record = run(cell("good", dimensions={"disruption": "none"}, witness={}), plan=PLAN)
    alone = record.model_copy(update={"checks": found[:1]})
    assert exit_status(alone) == (CANNOT_TELL if why else 0)


@pytest.mark.parametrize(
    ("twin", "why"),
    [
        (cell(CONTROL, expectation=DIES, verdict=LOST), ""),
        (cell(CONTROL), f"its twin {CONTROL} did not show"),
        (cell(CONTROL, expectation=DIES, verdict=LOST, outcome="failed"), "did not show"),
    ],
)
def test_a_cell_may_be_the_twin_of_a_test(twin: CellRecord, why: str) -> None:
    plan = PLAN.model_copy(update={"twins": {"f::a": CONTROL}})
    (found,) = with_their_twins((A,), (twin,), plan)
    assert (found.outcome is Outcome.ERROR) is bool(why)
    assert why in found.first_cause


def test_what_did_not_pass_stays_as_it_came() -> None:
    failed = check("f::a", "failed")
    assert with_their_twins((failed,), (), PLAN) == (failed,)
    assert with_their_twins((A,), (), None) == (A,)


LISTS = """
import pytest
from pathlib import Path

class Lists:
    def pytest_collection_finish(self, session):
        from lab.config.load import load_lab, load_topologies
        from lab.config.matrix import expand
        from lab.pytest_plugin.claims import claims, twins_of
        lab = load_lab(Path("lab.toml"))
        cells = expand(load_topologies(Path("topologies"), lab), lab, accel="tcg")
        found = twins_of(session.items, [cell.id for cell in cells], str)
        print(*(f"test {item.nodeid}" for item in session.items), sep="\\n")
        print("claims", sum(map(claims, session.items)))
        print(*(f"{name}: {why}" for name, why in found.missing.items()), sep="\\n")

pytest.main(["topologies", "--collect-only", "-qq", "--lab-tier=TIER"], plugins=[Lists()])
"""


@lru_cache
def collected(tier: str) -> tuple[str, ...]:
    """Return what is told of the tests of a tier, line by line; nothing is run."""
    said = subprocess.run(
        [sys.executable, "-c", LISTS.replace("TIER", tier)],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert "claims " in said.stdout, said.stdout[-2000:] + said.stderr[-2000:]
    return tuple(said.stdout.splitlines())


@pytest.mark.parametrize(("tier", "at_least"), [("ci", 2), ("soak", 40)])
def test_each_survival_by_hand_in_the_topologies_has_its_twin(tier: str, at_least: int) -> None:
    lines = collected(tier)
    assert [line for line in lines if "it asserts that a guest lives" in line] == []
    claimed = next(int(line.split()[1]) for line in lines if line.startswith("claims "))
    assert claimed >= at_least


def test_a_night_has_the_detection_curve_of_each_kind_of_guest() -> None:
    """No curve is missed silently: each of its tests has to run, by the plan."""
    wanted = {f"test topologies/test_silence_limit.py::test_ten_per_cent_decide[{kind}]"
              for kind in GuestKind}  # fmt: skip
    assert wanted <= set(collected("soak"))


def test_a_cells_survival_is_not_by_hand(folder: Path) -> None:
    *_, record = ran(folder)
    assert record.plan is not None
    assert record.plan.controls == {LIVES: CONTROL}
    assert (record.plan.twins, record.plan.uncontrolled) == ({}, {})
