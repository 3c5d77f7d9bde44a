# SPDX-License-Identifier: Apache-2.0
"""Waiting on a console: what comes is found, and a host that dies ends the wait at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.deadline import Deadline
from lab.errors import DeadlineError, HostDiedError
from lab.virt.console import Console

PANIC = "[    1.503211] Kernel panic - not syncing: sysrq triggered crash\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "l1-a.console"


def say(path: Path, text: str) -> None:
    with path.open("ab") as file:
        file.write(text.encode())


def soon() -> Deadline:
    return Deadline.after(5)


def test_a_console_that_does_not_exist_yet_is_empty(path: Path) -> None:
    console = Console(path)
    assert console.lines() == []
    assert console.text == ""


def test_a_line_counts_when_it_is_whole(path: Path) -> None:
    console = Console(path)
    say(path, "one\r\ntwo\nthr")
    assert console.lines() == ["one", "two"]
    assert console.text == "one\ntwo\nthr"
    say(path, "ee\n")
    assert console.lines() == ["one", "two", "three"]


def test_a_character_cut_in_two_by_a_look_is_whole_in_the_end(path: Path) -> None:
    console = Console(path)
    path.write_bytes("ü\n".encode()[:1])
    assert console.lines() == []
    path.write_bytes("ü\n".encode())
    assert console.lines() == ["ü"]


def test_a_wait_returns_the_match(path: Path) -> None:
    console = Console(path)
    say(path, "noise\nLAB-INIT ready boot_id=1234 nonce=x\n")
    assert console.wait_for(r"LAB-INIT ready boot_id=(\S+)", soon()).group(1) == "1234"


def test_after_a_mark_only_what_is_new_counts(path: Path) -> None:
    console = Console(path)
    say(path, "ready 1\n")
    mark = console.mark()
    with pytest.raises(DeadlineError, match="waited for 'ready' on the console of the host"):
        console.wait_for("ready", Deadline.after(0.1), since=mark)
    say(path, "ready 2\n")
    assert console.wait_for(r"ready (\d)", soon(), since=mark).group(1) == "2"


def test_a_wait_in_vain_shows_the_last_lines(path: Path) -> None:
    console = Console(path)
    say(path, "the last thing it said\n")
    with pytest.raises(DeadlineError) as caught:
        console.wait_for("never", Deadline.after(0.1))
    assert any("the last thing it said" in note for note in caught.value.__notes__)


def test_a_panic_ends_the_wait_with_its_line(path: Path) -> None:
    console = Console(path, "l1-a")
    say(path, "fine\n" + PANIC)
    with pytest.raises(HostDiedError, match=r"l1-a died while 'ready' was awaited: .*sysrq"):
        console.wait_for("ready", Deadline.after(60))


def test_what_came_before_the_panic_still_counts(path: Path) -> None:
    console = Console(path)
    say(path, "ready\n" + PANIC)
    console.wait_for("ready", soon())


def test_a_panic_that_is_meant_can_be_awaited_and_then_forgiven(path: Path) -> None:
    console = Console(path)
    say(path, PANIC)
    console.wait_for("Kernel panic", soon(), dying=True)
    console.forgive()
    say(path, "ready again\n")
    console.wait_for("ready again", soon())
    say(path, PANIC)
    with pytest.raises(HostDiedError):
        console.wait_for("never", soon())
    assert [f.fatal for f in console.findings()] == [True, True]


def test_a_machine_that_is_switched_off_ends_the_wait(path: Path) -> None:
    console = Console(path, "l1-a", lambda: "stopped: powered off")
    say(path, "last words\n")
    console.wait_for("last words", soon())
    with pytest.raises(HostDiedError, match=r"l1-a went away .*: stopped: powered off"):
        console.wait_for("ready", Deadline.after(60))


def test_a_console_that_was_rolled_over_is_read_to_its_end(path: Path) -> None:
    console = Console(path)
    say(path, "one\ntw")
    assert console.lines() == ["one"]
    say(path, "o\nth")
    path.rename(path.with_name(path.name + ".0"))
    say(path, "ree\n")
    assert console.lines() == ["one", "two", "three"]
