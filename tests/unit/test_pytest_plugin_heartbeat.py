# SPDX-License-Identifier: Apache-2.0
"""A run of cells is never silent: on a terminal a line that changes, in a log one in 20 s."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab.deadline import pause
from lab.history.forecast import Ladder
from lab.pytest_plugin.heartbeat import LOG_S, TERMINAL_S, Heartbeat, short
from lab.pytest_plugin.heartbeat import line as said_of

CELL = "topologies/test_ladder.py::test_cell[x86_64-tcg-stock-linux-qemu-vmm_kill]"


class Terminal:
    """Takes what is written; who looks at it is told."""

    def __init__(self, *, isatty: bool) -> None:
        self.isatty = isatty
        self.text = ""
        self.currentfspath: object = None

    def ensure_newline(self) -> None:
        """End the line."""
        self.text += "" if self.text.endswith("\n") or not self.text else "\n"

    def write(self, content: str, *, flush: bool = False) -> None:
        """Take a piece of a line."""
        self.text += content


def beating(*, isatty: bool) -> tuple[Heartbeat, Terminal, float]:
    terminal = Terminal(isatty=isatty)
    heart = Heartbeat(SimpleNamespace(), terminal)  # type: ignore[arg-type]
    heart._write = terminal.write  # type: ignore[method-assign,assignment]
    at = time.monotonic()
    heart.ladder = Ladder({CELL: "cell", "b": "b"}, {"cell": 30.0, "b": 10.0})
    heart.ladder.begin(CELL, at)
    return heart, terminal, at


def test_a_line_has_what_is_done_what_runs_and_the_time_left() -> None:
    ladder = Ladder({"a": "a", CELL: "cell", "b": "b"}, {"a": 20.0, "cell": 30.0, "b": 10.0})
    ladder.begin("a", 0.0)
    ladder.end("a", 20.0)
    ladder.begin(CELL, 20.0)
    assert said_of(ladder, 28.0) == (
        "1 of 3 done, about 32.0 s left: x86_64-tcg-stock-linux-qemu-vmm_kill 8.0 s of about 30.0 s"
    )


def test_with_nothing_learned_no_time_is_invented() -> None:
    ladder = Ladder({"a": "a"}, {})
    ladder.begin("a", 0.0)
    assert said_of(ladder, 3.0) == "0 of 1 done, nothing to foretell it by: a 3.0 s"


def test_a_log_has_a_line_every_20_s_and_no_more() -> None:
    heart, terminal, at = beating(isatty=False)
    for second in range(1, 101):
        heart.tick(at + second)
    lines = terminal.text.splitlines()
    assert 4 <= len(lines) <= 100 / LOG_S
    assert all(each.startswith("  0 of 2 done, about ") for each in lines)
    assert "\x1b" not in terminal.text


def test_a_terminal_has_one_line_that_changes_within_5_s() -> None:
    heart, terminal, at = beating(isatty=True)
    assert TERMINAL_S <= 5
    told = []
    for second in range(1, 11):
        heart.tick(at + second + 0.1)
        told.append(terminal.text.rpartition("\r\x1b[K")[2])
    assert len(set(told)) == 10
    assert "\n" not in terminal.text


def test_the_line_makes_room_for_what_pytest_prints() -> None:
    heart, terminal, at = beating(isatty=True)
    heart.tick(at + 5)
    printing: Any = heart.pytest_runtest_logreport()
    next(printing)
    assert terminal.text.endswith("\r\x1b[K")
    with pytest.raises(StopIteration):
        printing.send(None)


def test_when_nothing_runs_nothing_is_told() -> None:
    heart, terminal, at = beating(isatty=False)
    heart.pytest_runtest_logfinish(CELL).send(None)
    heart.tick(at + 100)
    assert terminal.text == ""


def test_a_test_is_told_by_its_cell_or_its_name() -> None:
    assert short(CELL) == "x86_64-tcg-stock-linux-qemu-vmm_kill"
    assert short("topologies/test_orphans.py::test_that") == "test_that"


def test_the_heart_stops_with_the_session() -> None:
    heart, _, _ = beating(isatty=False)
    item = SimpleNamespace(nodeid="b", path=SimpleNamespace(parent="."))
    heart._usual = lambda item: {}  # type: ignore[method-assign]  # noqa: ARG005
    config = SimpleNamespace(option=SimpleNamespace(collectonly=False), pluginmanager=None)
    session: Any = SimpleNamespace(config=config, items=[item])
    heart.pytest_collection_finish(session)
    assert heart._thread is not None
    assert heart._thread.is_alive()
    heart.pytest_sessionfinish()
    pause(0.01)
    assert not heart._thread.is_alive()


@pytest.mark.parametrize("how", ["log", "terminal"])
def test_it_is_seen_while_pytest_captures(how: str, tmp_path: Path) -> None:
    """What is written to pytest's own writer while a test runs ends in that test's output."""
    (tmp_path / "conftest.py").write_text(PLUGIN.format(isatty=how == "terminal"))
    (tmp_path / "test_x.py").write_text("import time\ndef test_a():\n    time.sleep(2.6)\n")
    argv = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-c", "/dev/null"]
    done = subprocess.run(
        [*argv, "--rootdir=.", "test_x.py"], cwd=tmp_path, capture_output=True, text=True,
        check=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert "0 of 1 done, about " in done.stdout
    assert "test_x.py::test_a PASSED" in done.stdout


ROOT = Path(__file__).parents[2]
PLUGIN = """
from types import SimpleNamespace
import pytest
from lab.pytest_plugin import heartbeat
heartbeat.LOG_S = 1.0

def pytest_configure(config):
    heart = heartbeat.Heartbeat(SimpleNamespace())
    heart._usual = lambda item: {{"test_x.py::test_a": 3.0}}
    config.pluginmanager.register(heart)

def pytest_collection(session):
    terminal = session.config.pluginmanager.getplugin("terminalreporter")
    terminal.isatty = type(terminal.isatty)({isatty})
"""
