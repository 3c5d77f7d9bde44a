# SPDX-License-Identifier: Apache-2.0
"""KTAP in, JUnit out: what ran inside a cell is a test suite, its groups are classes."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from lab.report.junit import junit_xml
from lab.report.ktap_input import children_of
from tests.support.records import cell, run

KTAP = """\
KTAP version 1
1..4
# KTAP version 1
# 1..3
# ok 1 counters advance
# not ok 2 stalls stay at 0 # 7 of them
# ok 3 v1.2 # SKIP no v1.2
not ok 1 selftests: kvm: caretaker_test # exit=1
ok 2 selftests: kvm: sev # SKIP
not ok 3 selftests: kvm: late # TIMEOUT 45 seconds
"""


def suites_of(text: str) -> list[ET.Element]:
    return list(ET.fromstring(text))  # noqa: S314 - our own


def test_each_result_is_a_case_in_the_class_of_its_groups() -> None:
    text = junit_xml(run(cell("a", outcome="failed", children=children_of(KTAP))))
    cells, inside = suites_of(text)
    assert (cells.get("tests"), inside.get("name")) == ("1", "a")
    counts = {word: inside.get(word) for word in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "7", "failures": "3", "errors": "1", "skipped": "2"}
    group = "selftests: kvm: caretaker_test"
    found = [
        (case.get("classname"), case.get("name"), [(c.tag, c.get("message")) for c in case])
        for case in inside
    ]
    assert found == [
        (group, "counters advance", []),
        (group, "stalls stay at 0", [("failure", "failed: 7 of them")]),
        (group, "v1.2", [("skipped", "skipped: no v1.2")]),
        ("tests", group, [("failure", "failed: exit=1")]),
        ("tests", "selftests: kvm: sev", [("skipped", "skipped")]),
        ("tests", "selftests: kvm: late", [("failure", "timed out: 45 seconds")]),
        ("tests", "4", [("error", "planned, and not reported: of 4 planned")]),
    ]


def test_a_group_of_groups_is_a_path_and_a_dot_is_no_step() -> None:
    children = children_of("1..1\n    1..1\n        ok 1 deep\n    ok 1 v1.2\nok 1 top\n")
    _, inside = suites_of(junit_xml(run(cell("a", children=children))))
    assert [case.get("classname") for case in inside] == ["top.v1_2", "top", "tests"]


def test_a_cell_without_tests_inside_has_no_suite() -> None:
    assert len(suites_of(junit_xml(run(cell("a"))))) == 1


def test_what_xml_cannot_have_is_replaced() -> None:
    children = children_of("1..1\nok 1 a\x02b\n")
    _, inside = suites_of(junit_xml(run(cell("a", children=children))))
    assert inside[0].get("name") == "a\ufffdb"
