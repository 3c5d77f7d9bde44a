# SPDX-License-Identifier: Apache-2.0
"""A process is killed only when it is seen to have ended, whatever it does until then."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from lab.deadline import Deadline, until
from lab.errors import DeadlineError
from lab.host import commands
from lab.host.commands import kill, lives, process
from lab.observe.identity import ProcessIdentity
from lab.ssh.session import Session
from tests.support.sshd import serving

SLEEPS = ProcessIdentity(7, 100, "S", 1)
RUNS = ProcessIdentity(7, 100, "R", 2)
ANOTHER = ProcessIdentity(7, 200, "S", 1)


@pytest.fixture
def session() -> Iterator[Session]:
    with serving() as served, served.session() as opened:
        yield opened


@pytest.mark.parametrize("end", [None, ANOTHER])
def test_a_process_that_wakes_has_not_ended(
    end: ProcessIdentity | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = [SLEEPS, RUNS, SLEEPS, end]
    sent: list[list[str]] = []
    session: Any = SimpleNamespace(check=lambda argv, **_: sent.append(argv))
    monkeypatch.setattr(commands, "process", lambda *_: said.pop(0))
    kill(session, 7, Deadline.after(10))
    assert said == []
    assert sent == [["kill", "-KILL", "7"]]


def test_a_process_that_does_not_end_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    session: Any = SimpleNamespace(check=lambda *_, **__: "")
    monkeypatch.setattr(commands, "process", lambda *_: RUNS)
    with pytest.raises(DeadlineError, match="process 7 to end"):
        kill(session, 7, Deadline.after(0.2))


def test_a_group_is_killed_with_all_that_is_in_it(session: Session) -> None:
    by = Deadline.after(20)
    pid = session.spawn(["sh", "-c", "sleep 1000 & echo $!; wait"], "/dev/null", by=by)
    children = f"/proc/{pid}/task/{pid}/children"
    child = int(until("a child", lambda: session.get(children).split() or None, by)[0])
    leader = process(session, pid)
    assert leader is not None
    kill(session, pid, by, group=True)
    assert not lives(session, leader)
    until("the end of its child", lambda: process(session, child) is None or None, by)
