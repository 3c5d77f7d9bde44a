# SPDX-License-Identifier: Apache-2.0
"""pytest as people have it: other plugins, or fewer of them, leave a run what it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.scripted_suite import KILL, LINUX, SPINNER, TICKER, Suite

ALL = {KILL, LINUX, SPINNER, TICKER}


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    return Suite.made(tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        ("-n2", "--dist=loadscope", "-p", "randomly"),
        ("-p", "randomly", "-p", "no:xdist", "--ff"),
        ("-p", "no:timeout", "-p", "no:cacheprovider", "-p", "no:stepwise"),
        ("--timeout=50", "-W", "error", "--import-mode=importlib", "--strict-markers"),
    ],
    ids=" ".join,
)
def test_a_run_is_green_in_any_company(options: tuple[str, ...], suite: Suite) -> None:
    ran = suite.ran(*options)
    assert ran.status == 0, ran.said
    assert {name for name, came in ran.outcomes().items() if came == "passed"} == ALL
    assert ran.record is not None
    assert ran.record.plan is not None
    assert ran.record.plan.part == ""


def test_without_pytest_timeout_its_key_is_no_error(suite: Suite) -> None:
    ini = "[pytest]\ntimeout = 50\nfilterwarnings = error\n"
    (suite.folder / "pytest.ini").write_text(ini, encoding="utf-8")
    ran = suite.ran("-p", "no:timeout", "--strict-config")
    assert ran.status == 0, ran.said


def test_the_first_failure_ends_a_run_that_is_not_green(suite: Suite) -> None:
    ran = suite.ran("-x", "-p", "no:randomly", script={LINUX: ["failed"]})
    assert ran.status == 1, ran.said
    assert ran.outcomes() == {KILL: "error", LINUX: "failed", SPINNER: "error", TICKER: "error"}
    assert "1 not as expected, 3 cannot tell" in ran.said


def test_what_failed_last_is_a_part_of_the_ladder(suite: Suite) -> None:
    assert suite.ran(script={LINUX: ["failed"]}).status == 1
    ran = suite.ran("--lf")
    assert (ran.status, ran.outcomes()) == (0, {LINUX: "passed"}), ran.said
    assert "a part of the ladder, 1 of 4 cells" in ran.said
    assert "by --lf" in ran.said


@pytest.mark.parametrize(
    ("options", "where"),
    [
        (("-k", KILL), "suite"),
        (("-n2", "-k", f"{KILL} or nothing_else"), "suite"),
        ((), f"suite/test_cells.py::test_guest[{KILL}]"),
    ],
)
def test_a_cell_is_chosen_by_its_id(options: tuple[str, ...], where: str, suite: Suite) -> None:
    ran = suite.ran(*options, where=where)
    assert (ran.status, list(ran.outcomes())) == (0, [KILL]), ran.said


def test_the_order_of_suites_does_not_choose_a_lab_toml(suite: Suite) -> None:
    asks = "def test_which(lab_toml_of_the_run): pass\n"
    other = suite.folder / "another"
    other.mkdir()
    (other / "test_another.py").write_text("def test_it(): pass\n", encoding="utf-8")
    conftest = suite.folder / "suite" / "conftest.py"
    conftest.write_text(
        conftest.read_text(encoding="utf-8")
        + "import pytest\n@pytest.fixture\ndef lab_toml_of_the_run(request, cells): pass\n",
        encoding="utf-8",
    )
    (suite.folder / "suite" / "test_which.py").write_text(asks, encoding="utf-8")
    for order in (("another", "suite"), ("suite", "another")):
        ran = suite.ran(*order[1:], "-p", "no:randomly", where=order[0])
        assert ran.status == 0, ran.said
        assert re.search("6 passed", ran.said)
