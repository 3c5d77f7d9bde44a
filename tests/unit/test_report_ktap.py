# SPDX-License-Identifier: Apache-2.0
"""KTAP as it is printed, and as kernel selftests, KUnit and kselftest's runner print it."""

from __future__ import annotations

from lab.record.classify import Standing, standing
from lab.record.doubt import doubt, failing
from lab.record.model import ChildRecord, ExpectationRecord
from lab.report.ktap import results_ktap
from lab.report.ktap_input import children_of
from tests.support.records import LOST, UNPROVEN, cell, run

KSELFTEST = """\
TAP version 13
1..4
# selftests: kvm: caretaker_test
# TAP version 13
# 1..2
# ok 1 counters advance
# not ok 2 stalls stay at 0
# # Totals: pass:1 fail:1 xfail:0 xpass:0 skip:0 error:0
not ok 1 selftests: kvm: caretaker_test # exit=1
ok 2 selftests: kvm: sev_smoke # SKIP
# timeout set to 45
not ok 3 selftests: kho: vmtest # TIMEOUT 45 seconds
"""

KUNIT = """\
[    1.500000] KTAP version 1
[    1.500001] 1..1
[    1.500002]     KTAP version 1
[    1.500003]     # Subtest: kho
[    1.500004]     1..2
[    1.500005]     ok 1 kho_preserve
[    1.500006]     ok 2 kho_restore # SKIP no memory
[    1.500007] ok 1 kho
"""


def told(text: str) -> list[tuple[int, str, str]]:
    return [(c.depth, c.status, c.name) for c in children_of(text)]


def test_what_kselftest_prints_is_read_with_what_it_leaves_out() -> None:
    assert told(KSELFTEST) == [
        (1, "ok", "counters advance"),
        (1, "not ok", "stalls stay at 0"),
        (0, "not ok", "selftests: kvm: caretaker_test"),
        (0, "skip", "selftests: kvm: sev_smoke"),
        (0, "timeout", "selftests: kho: vmtest"),
        (0, "missing", "4"),
    ]
    assert children_of(KSELFTEST)[4].comment == "45 seconds"
    assert children_of(KSELFTEST)[2].comment == "exit=1"


def test_what_kunit_prints_on_a_console_is_read() -> None:
    assert told(KUNIT) == [
        (1, "ok", "kho_preserve"),
        (1, "skip", "kho_restore"),
        (0, "ok", "kho"),
    ]


def test_two_levels_of_two_spaces_are_two_levels() -> None:
    text = "KTAP version 1\n1..1\n  1..1\n    1..1\n    ok 1 deep\n  ok 1 mid\nok 1 top\n"
    assert told(text) == [(2, "ok", "deep"), (1, "ok", "mid"), (0, "ok", "top")]


def test_a_test_that_died_midway_is_missing_not_passed() -> None:
    found = children_of("KTAP version 1\n1..3\nok 1 a\n")
    assert failing(found) == ("2", "3")


def test_a_test_that_skips_all_of_itself_says_so() -> None:
    assert children_of("1..0 # SKIP no /dev/kvm\n") == (
        ChildRecord(name="all", status="skip", comment="no /dev/kvm"),
    )


def test_other_talk_is_no_result() -> None:
    assert told("okay then\nnot okay\nok\nnotok 1\n") == [(0, "ok", "1")]


def test_a_run_is_printed_so_that_it_can_be_read_again() -> None:
    known = ExpectationRecord(kind="xfail", reason="bug", link="https://b/1")
    record = run(
        cell("good"),
        cell("bad # 1", outcome="failed", verdict=LOST),
        cell("broken", outcome="error", verdict=UNPROVEN),
        cell("away", outcome="unavailable", verdict=None, first_cause="no SVM\nat all"),
        cell("known", outcome="xfailed", verdict=LOST, expectation=known),
        cell("often"),
        cell("often", repeat=2, outcome="failed", verdict=LOST),
        must_run=("nowhere",),
    )
    text = results_ktap(record)
    assert text.startswith("KTAP version 1\n1..7\n")
    assert told(text) == [
        (0, "ok", "good"),
        (0, "not ok", "bad % 1"),
        (0, "not ok", "broken"),
        (0, "skip", "away"),
        (0, "xfail", "known"),
        (1, "ok", "repeat 1"),
        (1, "not ok", "repeat 2"),
        (0, "not ok", "often"),
        (0, "not ok", "nowhere"),
    ]
    assert "# SKIP no SVM at all" in text


def test_results_from_inside_stand_with_their_cell() -> None:
    inside = children_of(KSELFTEST)
    text = results_ktap(run(cell(children=inside)))
    assert "  # # not ok" not in text
    assert "  #   not ok stalls stay at 0" in text


def test_a_cell_of_tests_stands_by_what_they_said() -> None:
    good = cell(verdict=None, expectation=None, children=children_of("1..1\nok 1 a\n"))
    assert standing(good) is Standing.EXPECTED
    hollow = cell(verdict=None, expectation=None, children=children_of(KSELFTEST))
    assert doubt(hollow) == "it passed, and stalls stay at 0 inside it did not"
    assert standing(cell(verdict=None, children=())) is Standing.LAB
