# SPDX-License-Identifier: Apache-2.0
"""Progress as a person reads it, and a command that is told to stop."""

from __future__ import annotations

import io

from rich.console import Console

from lab.cli.progress import progress_on
from lab.events import HostEvent, Progress, Step

_WHAT = "kernel stock for x86_64"


def told(*events: object, terminal: bool = False, everything: bool = False) -> str:
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=120)
    with progress_on(console, everything=everything) as sink:
        for event in events:
            sink(event)  # type: ignore[arg-type]
    return text.getvalue()


def progress(at: float, done: int, total: int) -> Progress:
    return Progress(at=at, what=_WHAT, done=done, total=total, usually=480)


def test_plain_lines_say_what_and_how_long_and_how_far() -> None:
    lines = told(
        Step(what="configuring"),
        progress(100, 0, 1),
        progress(101, 10, 2460),
        progress(130, 615, 2460),
        progress(131, 630, 2460),
        progress(220, 1, 1),
    ).splitlines()
    assert lines == [
        "configuring",
        f"{_WHAT}: usually takes 8 min 00 s",
        f"{_WHAT}: 25 % after 30.0 s",
        f"{_WHAT}: done in 2 min 00 s",
    ]


def test_a_terminal_is_told_of_the_end_of_each_piece_of_work() -> None:
    seen = told(progress(1, 0, 1), progress(2, 5, 10), progress(3, 1, 1), terminal=True)
    assert f"{_WHAT}: done in" in seen


def test_square_brackets_are_no_markup() -> None:
    assert told(Step(what="[kernel.stock] is [bold]")) == "[kernel.stock] is [bold]\n"


def test_what_libvirt_logs_is_shown_with_debug_only() -> None:
    event = HostEvent(host="a", what="started")
    assert not told(event)
    assert told(event, everything=True) == "a: started\n"
