# SPDX-License-Identifier: Apache-2.0
"""A console on which a line is lost, repeated or torn is not a good one."""

from __future__ import annotations

import pytest

from lab.observe.console_sequence import heard

GOOD = "BEACON beating n=1\nCHAT 0\r\nCHAT 1\n[    1.0] printk: hello\nCHAT 2\nCHA"


def test_running_count_is_good_with_its_last_line_pending() -> None:
    found = heard(GOOD)
    assert (found.lines, found.wrong, found.reason) == (3, (), "")


@pytest.mark.parametrize(
    ("console", "reason"),
    [
        ("CHAT 0\nCHAT 2\n", "'CHAT 2' where 'CHAT 1' was due"),
        ("CHAT 0\nCHAT 0\nCHAT 1\n", "'CHAT 0' where 'CHAT 1' was due"),
        ("CHAT 0\nCHAAT 1\n", "'CHAAT 1' where 'CHAT 1' was due"),
        ("CHAT 0\nCHAT 11\nCHAT 2\n", "'CHAT 11' where 'CHAT 1' was due"),
        ("CHAT 1\n", "'CHAT 1' where 'CHAT 0' was due"),
        ("CHAT 0\n\nCHAT 1\n", "'' where 'CHAT 1' was due"),
        ("CHAT 0\r\r\nCHAT 1\n", "'CHAT 0\\r\\r' where 'CHAT 0' was due"),
        ("CHAT 0CHAT 1\n", "'CHAT 0CHAT 1' where 'CHAT 0' was due"),
    ],
)
def test_what_is_lost_repeated_or_torn_is_told(console: str, reason: str) -> None:
    assert heard(console).wrong[0] == reason


def test_many_faults_are_counted() -> None:
    assert heard("CHAT 9\n" * 9).reason.endswith("; and 4 more")


def test_a_silent_guest_said_nothing() -> None:
    assert heard("").lines == 0
