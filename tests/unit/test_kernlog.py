# SPDX-License-Identifier: Apache-2.0
"""Each golden console has in its first line what has to be found in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.kernlog import Finding, Kind, Recogniser, findings

GOLDEN = sorted((Path(__file__).parents[1] / "golden" / "console").glob("*.log"))


def expected(log: Path) -> list[str]:
    first = log.read_text().splitlines()[0]
    words = first.removeprefix("# expect: ").split(", ")
    return [] if words == ["nothing"] else words


@pytest.mark.parametrize("log", GOLDEN, ids=lambda p: p.stem)
def test_a_golden_console_holds_what_its_first_line_says(log: Path) -> None:
    found = findings(log.read_text().splitlines())
    assert [str(f.kind) for f in found] == expected(log)


@pytest.mark.parametrize("log", GOLDEN, ids=lambda p: p.stem)
def test_the_line_number_of_a_finding_leads_to_its_text(log: Path) -> None:
    lines = log.read_text().splitlines()
    assert all(f.text in lines[f.line_no - 1] for f in findings(lines))


def test_every_kind_has_a_golden_console() -> None:
    assert {word for log in GOLDEN for word in expected(log)} == set(Kind)


def test_only_what_ends_the_kernel_is_fatal() -> None:
    fatal = {kind for kind in Kind if Finding(kind, 1, "").fatal}
    assert fatal == {Kind.PANIC, Kind.TRIPLE_FAULT}


def test_a_console_is_followed_line_by_line() -> None:
    recogniser = Recogniser()
    assert recogniser.feed("[    0.100000] Run /init as init process\r\n") is None
    found = recogniser.feed("[    0.200000] Kernel panic - not syncing: no init\r\n")
    assert found == Finding(Kind.PANIC, 2, "Kernel panic - not syncing: no init")


@pytest.mark.parametrize(
    "line",
    [
        "[    0.0] Kernel command line: panic=-1 oops=panic",
        "[    0.000000] Kernel command line: foo Kernel panic - not syncing",
        "<5>[    0.000000] Command line: oops=panic BUG: x",
        "[    1.000000] warning: `labvmm' uses 32-bit capabilities (legacy support in use)",
        "[    1.000000] lab: the guest was told to say 'Oops: 0002 [#1]'",
        "[    1.000000] sched: DL replenish lagged too much, no WARNING: here",
        "",
    ],
)
def test_words_within_a_line_are_no_finding(line: str) -> None:
    assert findings([line]) == []


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "[   12.345678] ",
        "[12345.345678][ T1234] ",
        "<4>[    1.000000] ",
        "login: [    9.000000] ",
    ],
)
def test_a_finding_may_have_any_prefix_that_a_console_gives_it(prefix: str) -> None:
    found = findings([f"{prefix}Kernel panic - not syncing: Fatal exception"])
    assert [f.text for f in found] == ["Kernel panic - not syncing: Fatal exception"]


def test_an_oops_after_a_reboot_is_another_one() -> None:
    lines = ["BUG: kernel NULL pointer dereference", "Linux version 7.3.4", "Oops: Oops: 0000 [#1]"]
    assert [f.line_no for f in findings(lines)] == [1, 3]
