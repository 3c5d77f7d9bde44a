# SPDX-License-Identifier: Apache-2.0
"""KTAP as other people's suites print it: late plans, stamps, colours, `#` in names."""

from __future__ import annotations

import pytest

from lab.record.doubt import failing
from lab.report.ktap_input import children_of


def told(text: str) -> list[tuple[int, str, str]]:
    return [(c.depth, c.status, c.name) for c in children_of(text)]


def test_a_plan_at_the_end_is_that_of_the_results_before_it() -> None:
    assert told("TAP version 13\nok 1 a\nok 2 b\n1..2\n") == [(0, "ok", "a"), (0, "ok", "b")]
    assert failing(children_of("TAP version 13\nok 1 a\n1..3\n")) == ("2", "3")


def test_a_late_plan_of_a_subtest_is_its_own() -> None:
    text = "TAP version 13\n1..2\n# ok 1 a\n# ok 2 b\n# 1..3\nok 1 x\n# ok 1 c\n# 1..1\nok 2 y\n"
    assert told(text) == [
        (1, "ok", "a"),
        (1, "ok", "b"),
        (1, "missing", "3"),
        (0, "ok", "x"),
        (1, "ok", "c"),
        (0, "ok", "y"),
    ]


def test_a_second_document_does_not_pay_for_the_first() -> None:
    text = "TAP version 13\n1..2\nok 1 a\nTAP version 13\nok 1 b\n1..1\n"
    assert told(text) == [(0, "ok", "a"), (0, "missing", "2"), (0, "ok", "b")]


@pytest.mark.parametrize(
    "stamp",
    [
        "[    1.500000] ",
        "[    1.500000][    T1] ",
        "<6>[    1.500000] ",
        "[   12.000001][   C0] ",
        "[Tue Dec  1 12:00:00 2026] ",
        "[12:00:00] ",
        "2026-12-01T12:00:00.1234567Z ",
        "2026-12-01T12:00:00Z <6>[    1.5] ",
    ],
)
def test_time_stamps_of_kernel_and_ci_are_no_part_of_it(stamp: str) -> None:
    plain = ["KTAP version 1", "1..1", "    1..2", "    ok 1 a", "    not ok 2 b", "not ok 1 s"]
    text = "\n".join(stamp + line for line in plain)
    assert told(text) == [(1, "ok", "a"), (1, "not ok", "b"), (0, "not ok", "s")]


def test_colours_and_carriage_returns_are_no_part_of_it() -> None:
    text = "\x1b[1mTAP version 13\x1b[0m\r\n1..2\r\n\x1b[32mok 1 a\x1b[0m\r\n"
    text += "\x1b]0;title\x07\x1b[1;31mnot ok\x1b[m 2 b\x1b[K\r\n"
    assert told(text) == [(0, "ok", "a"), (0, "not ok", "b")]


@pytest.mark.parametrize(
    ("line", "status", "name", "comment"),
    [
        ("ok 1 fd #3 is closed", "ok", "fd #3 is closed", ""),
        ("ok 1 C#", "ok", "C#", ""),
        (r"ok 1 a \# b # SKIP no dev", "skip", "a # b", "no dev"),
        (r"ok 1 a \# SKIP b", "ok", "a # SKIP b", ""),
        ("ok 1 gup #1 of 2 # SKIP no memory", "skip", "gup #1 of 2", "no memory"),
        ("ok 1 a # b # SKIP no dev", "skip", "a # b", "no dev"),
        ("ok 1 a #SKIP no dev", "skip", "a", "no dev"),
        ("ok 1 # SKIP no dev", "skip", "1", "no dev"),
        ("ok 1 a # skip: no dev", "skip", "a", "no dev"),
        ("not ok 1 a # exit=1", "not ok", "a", "exit=1"),
        ("not ok 1 a # TIMEOUT 45 seconds", "timeout", "a", "45 seconds"),
        ("not ok 1 a # SKIPPED too many", "not ok", "a", "SKIPPED too many"),
        ("ok 1 a # 3 of 3 done", "ok", "a", "3 of 3 done"),
    ],
)
def test_a_name_may_have_a_hash_and_a_directive_is_the_last(
    line: str, status: str, name: str, comment: str
) -> None:
    (found,) = children_of(line)
    assert (found.status, found.name, found.comment) == (status, name, comment)


def test_kunit_in_kselftest_is_two_levels_deep() -> None:
    text = (
        "TAP version 13\n1..1\n# KTAP version 1\n# 1..1\n#     KTAP version 1\n#     # Subtest: s\n"
        "#     1..2\n#     ok 1 a\n#     not ok 2 b\n# not ok 1 s\nnot ok 1 kunit.sh # exit=1\n"
    )
    assert told(text) == [
        (2, "ok", "a"),
        (2, "not ok", "b"),
        (1, "not ok", "s"),
        (0, "not ok", "kunit.sh"),
    ]


def test_a_garbled_plan_does_not_fill_the_record() -> None:
    found = children_of("1..4294967295\nok 1 a\n")
    assert len(found) == 102
    assert (found[-1].status, found[-1].name) == ("missing", "102 to 4294967295")
