# SPDX-License-Identifier: Apache-2.0
"""A retry by whatever plugin is seen: the worst try counts, and what differs is flaky."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.scripted_suite import LINUX, SPINNER, TICKER, Suite

BESIDE = """
import os, pathlib, pytest
COUNT = pathlib.Path(__file__).with_name("count")
def again():
    with COUNT.open("a") as file: file.write("x")
    return len(COUNT.read_text()) > 1
@pytest.fixture
def host():
    if "SHAKY_HOST" in os.environ and not again(): raise OSError("no host")
def test_steady(): pass
def test_shaky(host): assert "SHAKY_HOST" in os.environ or again(), "not yet"
"""
RERUN = ("--reruns=2",)
# What other plugins do: another call beneath the report of the first, pytest-retry with fixtures of
# its own (WHOLE), flaky with the same ones. No report of pytest's is made of the first try then.
IN_PLACE = """
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if call.when == "call" and report.failed:
        if WHOLE:
            item.ihook.pytest_runtest_teardown(item=item, nextitem=None)
            item._initrequest()
            item.ihook.pytest_runtest_setup(item=item)
        again = lambda: item.ihook.pytest_runtest_call(item=item)
        call = pytest.CallInfo.from_call(again, when="call")
        report = pytest.TestReport.from_item_and_call(item, call)
    return report
"""
BOTH_WAYS = "1 flaky: retried, and came out otherwise"


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    return Suite.made(tmp_path, beside=BESIDE)


def retrying_in_place(suite: Suite, *, whole: bool) -> None:
    conftest = suite.folder / "suite" / "conftest.py"
    before = conftest.read_text(encoding="utf-8")
    retries = IN_PLACE.replace("WHOLE", str(whole))
    conftest.write_text(f"import pytest\n{before}{retries}", encoding="utf-8")


@pytest.mark.parametrize("way", ["reruns", "whole", "call"])
def test_a_test_that_passes_when_retried_is_flaky(way: str, suite: Suite) -> None:
    if way != "reruns":
        retrying_in_place(suite, whole=way == "whole")
    ran = suite.ran(*(RERUN if way == "reruns" else ()))
    assert "6 passed" in ran.said, ran.said  # as pytest has it
    assert ran.status == 1, ran.said
    assert ran.outcomes()["test_shaky"] == "failed"
    assert ran.tries("test_shaky") == ["failed", "passed"]
    assert (ran.outcomes()["test_steady"], ran.tries("test_steady")) == ("passed", [])
    assert BOTH_WAYS in ran.said
    page = next((suite.folder / "reports").glob("2*/index.html")).read_text(encoding="utf-8")
    assert "FLAKY" in page


@pytest.mark.parametrize(("way", "workers"), [("reruns", "2"), ("whole", "0")])
def test_a_cell_that_passes_when_retried_is_flaky(way: str, workers: str, suite: Suite) -> None:
    if way == "whole":
        retrying_in_place(suite, whole=True)
    options = RERUN if way == "reruns" else ()
    script = {LINUX: ["failed", "passed"]}
    ran = suite.ran(*options, f"-n{workers}", script=script, where="suite/test_cells.py")
    assert ran.status == 1, ran.said
    assert (ran.outcomes()[LINUX], ran.tries(LINUX)) == ("failed", ["failed", "passed"])
    assert f"3 of 4 cells as expected, 1 not as expected, {BOTH_WAYS}" in ran.said


def test_what_broke_at_first_is_no_pass_either(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHAKY_HOST", "1")
    ran = suite.ran(*RERUN, script={LINUX: ["error", "passed"]})
    assert ran.status == 125, ran.said
    assert (ran.outcomes()[LINUX], ran.tries(LINUX)) == ("error", ["error", "passed"])
    assert ran.outcomes()["test_shaky"] == "error"
    assert ran.tries("test_shaky") == ["error", "passed"]
    assert "2 flaky" in ran.said


def test_a_cell_whose_worker_died_is_no_pass_when_retried(suite: Suite) -> None:
    script = {LINUX: ["crash", "passed"]}
    ran = suite.ran(*RERUN, "-n2", script=script, where="suite/test_cells.py")
    assert ran.status == 125, ran.said
    assert (ran.outcomes()[LINUX], ran.tries(LINUX)) == ("error", ["error", "passed"])
    assert ran.outcomes()[SPINNER] == ran.outcomes()[TICKER] == "passed"


def test_what_fails_at_every_try_is_not_flaky(suite: Suite) -> None:
    ran = suite.ran(*RERUN, script={LINUX: ["failed"]}, where="suite/test_cells.py")
    assert ran.status == 1, ran.said
    assert ran.tries(LINUX) == ["failed"] * 3
    assert "flaky" not in ran.said.partition("Caretaker Lab")[2]


def test_a_run_that_is_resumed_retries_nothing(suite: Suite) -> None:
    broke = suite.ran(script={LINUX: ["error"]}, where="suite/test_cells.py")
    assert broke.status == 125, broke.said
    assert broke.record is not None
    resumed = suite.ran(f"--lab-resume={broke.record.run_id}", where="suite/test_cells.py")
    assert resumed.status == 0, resumed.said
    assert (resumed.outcomes()[LINUX], resumed.tries(LINUX)) == ("passed", [])
