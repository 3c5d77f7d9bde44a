# SPDX-License-Identifier: Apache-2.0
"""Progress as a person reads it, and a command that is told to stop."""

from __future__ import annotations

import io
import time

from rich.console import Console

from lab.deadline import pause
from lab.events import HostEvent, Progress, Step
from lab.report.progress import _Lines, progress_on

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
        f"{_WHAT}: 25 % after 30.0 s, about 1 min 30 s left",
        f"{_WHAT}: done in 2 min 00 s",
    ]


def test_objects_that_are_done_are_counted() -> None:
    some = Progress(at=130, what=_WHAT, done=600, total=2400, usually=100, unit="objects")
    assert told(progress(100, 0, 1), some).splitlines()[1:] == [
        f"{_WHAT}: 600 of 2400 objects after 30.0 s, about 1 min 30 s left"
    ]


def test_a_log_is_never_silent_for_longer_than_20_s() -> None:
    text = io.StringIO()
    sink = _Lines(Console(file=text, width=120), everything=False)
    sink(Step(what="booting host1"))
    at = time.monotonic()
    sink.tick(at + 19)
    assert text.getvalue() == "booting host1\n"
    sink.tick(at + 21)
    assert text.getvalue().splitlines()[1:] == ["still after 21.0 s: booting host1"]


def test_a_log_tells_how_far_work_is_that_tells_nothing_itself() -> None:
    text = io.StringIO()
    sink = _Lines(Console(file=text, width=120), everything=False)
    at = time.monotonic()
    sink(progress(at, 0, 1))
    sink.tick(at + 30)
    sink.tick(at + 500)
    assert text.getvalue().splitlines()[1:] == [
        f"{_WHAT}: after 30.0 s, about 7 min 30 s left",
        f"{_WHAT}: after 8 min 20 s, longer than usual",
    ]


def test_a_terminal_shows_the_last_step_while_it_goes_on() -> None:
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=120)
    with progress_on(console) as sink:
        sink(Step(what="booting [host1]"))
        before = len(text.getvalue())
        pause(2.5)
        shown = text.getvalue()[before:]
    assert "booting [host1]" in shown
    assert "0:00:02" in shown


def test_a_terminal_is_told_of_the_end_of_each_piece_of_work() -> None:
    seen = told(progress(1, 0, 1), progress(2, 5, 10), progress(3, 1, 1), terminal=True)
    assert f"{_WHAT}: done in" in seen


def test_square_brackets_are_no_markup() -> None:
    assert told(Step(what="[kernel.stock] is [bold]")) == "[kernel.stock] is [bold]\n"


def test_what_libvirt_logs_is_shown_with_debug_only() -> None:
    event = HostEvent(host="a", what="started")
    assert not told(event)
    assert told(event, everything=True) == "a: started\n"
