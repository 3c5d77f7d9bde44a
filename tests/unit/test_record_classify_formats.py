# SPDX-License-Identifier: Apache-2.0
"""Every output says the same of every run: the exit status, and what became of each test."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from lab.history.store import opened
from lab.record.classify import Status, classified, exit_status, headline
from lab.record.labels import word
from lab.record.model import (
    NO_RECORD,
    CellRecord,
    CheckRecord,
    ExpectationRecord,
    PlanRecord,
    RunRecord,
)
from lab.report.index import brief
from lab.report.junit import junit_xml
from lab.report.kcidb import kcidb_json
from lab.report.ktap import results_ktap
from lab.report.page import index_html
from lab.report.summary import summary_md
from tests.support.records import DIES, LOST, SURVIVED, UNPROVEN, cell, run

KNOWN = ExpectationRecord(kind="xfail", reason="known", link="https://b/1")
NOWHERE = ExpectationRecord(kind="unavailable", reason="no SVM")
CELLS: dict[str, dict[str, object]] = {
    "survival": {},
    "control": {"expectation": DIES, "verdict": LOST},
    "failed": {"outcome": "failed", "verdict": LOST},
    "unproven": {"outcome": "error", "verdict": UNPROVEN},
    "broke": {"outcome": "error", "verdict": None, "first_cause": "no libvirt"},
    "in doubt": {"verdict": None},
    "uncontrolled": {"lacks": "its control is not in this run"},
    "xfail": {"outcome": "xfailed", "verdict": LOST, "expectation": KNOWN},
    "xpass": {"outcome": "xpassed", "expectation": KNOWN},
    "unavailable": {"outcome": "unavailable", "verdict": None, "expectation": NOWHERE},
    "skipped": {"outcome": "skipped", "verdict": None},
    "interrupted": {"outcome": "error", "verdict": None, "first_cause": NO_RECORD},
}
CHECKS = (
    "",
    "passed",
    "failed",
    "error",
    "xfailed",
    "xpassed",
    "skipped",
    "unavailable",
    "interrupted",
)
ALL = PlanRecord(cells=2, checks=1, chosen_cells=2, chosen_checks=1)
PLANS = (  # three, so that each meets each combination of what is there or not
    None,
    ALL.model_copy(update={"asked": "-k 'one'", "chosen_cells": 1}),
    ALL.model_copy(update={"left_out": {"two": "it was left out by --deselect"}}),
)
# What each status is in JUnit, KTAP, KCIDB and on pages; and the exit status that it makes.
TABLE = {
    Status.PASSED: ("", "ok", {"PASS"}, {"PASS"}, 0),
    Status.FAILED: ("failure", "not ok", {"FAIL"}, {"FAIL", "XPASS"}, 1),
    Status.ERROR: ("error", "not ok # ERROR", {"ERROR", "MISS"}, {"ERROR"}, 125),
    Status.XFAIL: ("skipped", "ok # XFAIL", {"DONE"}, {"XFAIL"}, 0),
    Status.UNAVAILABLE: ("skipped", "ok # SKIP", {"SKIP"}, {"UNAVAILABLE"}, 0),
    Status.SKIPPED: ("skipped", "ok # SKIP", {"SKIP"}, {"SKIPPED"}, 0),
    Status.NOT_RUN: ("error", "not ok # ERROR", {"MISS"}, {"NOT-RUN"}, 125),
    Status.INTERRUPTED: ("error", "not ok # ERROR", {"MISS"}, {"INTERRUPTED"}, 125),
}


def check(outcome: str) -> CheckRecord:
    late = outcome == "interrupted"
    return CheckRecord.model_validate(
        {
            "id": "test_mutants.py::test_it",
            "outcome": "error" if late else outcome,
            "first_cause": NO_RECORD if late else "",
        }
    )


def runs(kind: str) -> Iterator[RunRecord]:
    """Yield each run of one cell of this kind, with and without all that may be wrong beside it."""
    choices = product(CHECKS, (False, True), (False, True), (False, True), (False, True))
    for n, (said, beside, must, missing, ended) in enumerate(choices):
        cells = [cell("one", **CELLS[kind])] + ([cell("good")] if beside else [])
        yield run(
            *cells,
            checks=tuple(check(said) for _ in range(bool(said))),
            plan=PLANS[n % len(PLANS)],
            must_run=("one",) * must + ("nowhere",) * missing,
            **({} if ended else {"ended": None}),
        )


def exit_of_junit(record: RunRecord) -> tuple[int, Counter[str]]:
    suite = ET.fromstring(junit_xml(record))[0]  # noqa: S314 - our own
    tags = Counter(
        next((tag for tag in ("failure", "error", "skipped") if case.find(tag) is not None), "")
        for case in suite.iter("testcase")
    )
    counts = {"failure": "failures", "error": "errors", "skipped": "skipped"}
    assert {tag: int(suite.get(name, "")) for tag, name in counts.items()} == {
        tag: tags[tag] for tag in counts
    }
    return 1 if tags["failure"] else 125 if tags["error"] else 0, tags


def exit_of_ktap(record: RunRecord) -> tuple[int, Counter[str]]:
    text = results_ktap(record)
    found = re.findall(r"^(ok|not ok) \d+ [^#\n]*(# [A-Z]+)?", text, re.MULTILINE)
    said = Counter(" ".join(part for part in each if part) for each in found)
    assert f"\n1..{said.total()}\n" in text
    return 1 if said["not ok"] else 125 if said["not ok # ERROR"] else 0, said


def exit_of_kcidb(record: RunRecord) -> tuple[int, list[str]]:
    said = [test["status"] for test in json.loads(kcidb_json(record))["tests"]]
    return 1 if "FAIL" in said else 125 if {"ERROR", "MISS"} & {*said} else 0, said


@pytest.mark.parametrize("kind", CELLS)
def test_all_outputs_agree(kind: str) -> None:
    for record in runs(kind):
        tests, wanted = classified(record), exit_status(record)
        rows = [TABLE[each.status] for each in tests]
        made = {row[4] for row in rows}
        assert wanted == (1 if 1 in made else max(made)), record
        assert exit_of_junit(record) == (wanted, Counter(row[0] for row in rows)), record
        assert exit_of_ktap(record) == (wanted, Counter(row[1] for row in rows)), record
        status, said = exit_of_kcidb(record)
        assert status == wanted, record
        assert all(each in row[2] for each, row in zip(said, rows, strict=True)), record
        first = {0: "AS EXPECTED", 1: "FAILED", 125: "CANNOT TELL"}[wanted]
        assert headline(record).startswith(f"{first}: "), record
        assert summary_md(record).startswith(f"**{first}: "), record
        assert brief(record).status == wanted


@pytest.mark.parametrize("kind", CELLS)
def test_pages_and_history_agree(kind: str, tmp_path: Path) -> None:
    few = [r for n, r in enumerate(runs(kind)) if n % 5 == 0 or not r.checks]
    with opened(tmp_path / "history.sqlite") as book:
        for record in few:
            page = index_html(record)
            assert f'<h1 class="status-{exit_status(record)}">' in page
            book.note(record, "folder")
            (once,) = book.runs()
            assert once.status == exit_status(record)
            past = {result.cell: result.word for result in book.results(record.run_id)}
            for each in classified(record):
                words = TABLE[each.status][3]
                if isinstance(each.record, CellRecord):
                    assert past[each.record.id] in words
                    (badge,) = re.findall(
                        rf'badge [a-z-]+"><span [^>]*>[^<]*</span>([A-Z-]+)</b>[^<]*'
                        rf'<span class="id">{each.record.id}<',
                        page,
                    )
                    assert badge in words
                elif each.record is not None:
                    assert word(each.record) in words
                else:
                    assert each.name in page or each.why in page


@pytest.mark.parametrize(
    ("record", "wanted"),
    [
        pytest.param(run(cell("good"), cell("one", **CELLS["unavailable"]), must_run=("one",)), 125,
                     id="must-run-cell-unavailable"),
        pytest.param(run(cell("good"), ended=None), 125, id="run-did-not-end"),
        pytest.param(run(cell("good"), checks=(check("failed"),)), 1, id="mutant-test-failed"),
        pytest.param(run(cell("good"), checks=(check("skipped"),)), 125, id="mutant-test-skipped"),
        pytest.param(run(cell("one", **CELLS["skipped"])), 125, id="nothing-judged"),
        pytest.param(run(cell("good"), plan=PLANS[2]), 125, id="one-deselect-of-a-cell"),
        pytest.param(run(cell("good"), plan=PLANS[1]), 0, id="a-part-that-was-asked-for"),
        pytest.param(run(cell("good"), cell("one", **CELLS["uncontrolled"])), 125,
                     id="survival-without-its-control"),
    ],
)  # fmt: skip
def test_the_cases_of_the_review_have_one_answer(record: RunRecord, wanted: int) -> None:
    told = exit_of_junit(record)[0], exit_of_ktap(record)[0], exit_of_kcidb(record)[0]
    assert {exit_status(record), *told} == {wanted}


def test_every_output_says_that_a_part_is_no_verdict_on_the_whole() -> None:
    record = run(cell("good"), plan=PLANS[1])
    said = "a part of the ladder, 1 of 2 cells and 1 of 1 tests beside them, by -k 'one'"
    (case,) = ET.fromstring(junit_xml(record)).iterfind(".//testcase[@name='ladder']")  # noqa: S314
    assert said in case.find("skipped").get("message")  # type: ignore[union-attr, operator]
    assert re.search(
        rf"^ok 2 ladder # SKIP {said}; not a verdict", results_ktap(record), re.MULTILINE
    )
    tests = {test["path"]: test for test in json.loads(kcidb_json(record))["tests"]}
    assert tests["caretaker.ladder"]["status"] == "SKIP"
    assert said in tests["caretaker.ladder"]["log_excerpt"]
    for text in (index_html(record).replace("&#39;", "'"), summary_md(record).replace("\\", "")):
        assert f"AS EXPECTED: {said}" in text


def test_a_control_that_dies_and_a_guest_that_lives_are_two_tests_in_kcidb() -> None:
    cells = (cell("one"), cell("two", **CELLS["control"]), cell("three", **CELLS["xfail"]))
    one, two, three = (test["path"] for test in json.loads(kcidb_json(run(*cells)))["tests"])
    assert one == three == "caretaker.vmm-kill.linux.labvmm.silence"
    assert two == "caretaker.vmm-kill.linux.labvmm.control"
    memory = SURVIVED.model_copy(update={"scope": "memory"})
    wanted = ExpectationRecord.model_validate({"kind": "survives", "scope": "memory"})
    (test,) = json.loads(kcidb_json(run(cell(verdict=memory, expectation=wanted))))["tests"]
    assert test["path"] == "caretaker.vmm-kill.linux.labvmm.memory"
