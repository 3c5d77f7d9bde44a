# SPDX-License-Identifier: Apache-2.0
"""A chaos cell's host is loaded while the cell lasts, and by nothing that outlives it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from lab.config.cell_request import CellRequest
from lab.config.model import Accel, DisruptionKind, GuestKind, LabConfig, Options
from lab.deadline import Deadline, until
from lab.host import commands
from lab.host.commands import process
from lab.runner import chaos
from lab.runner.guest_plan import work_of
from lab.ssh.session import Session
from tests.support.sshd import serving

LAB = LabConfig.model_validate({"kernel": {"stock": {"recipe": "stock"}}})
QUIET = CellRequest(disruption=DisruptionKind.VMM_KILL).cell(LAB, accel=Accel.TCG)
CHAOS = QUIET.model_copy(update={"options": Options(chaos=True)})


@pytest.fixture
def session() -> Iterator[Session]:
    with serving() as served, served.session() as opened:
        yield opened


class Spawning:
    """A session that notes what it started."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.pids: list[int] = []

    def spawn(self, *words: Any, **named: Any) -> int:
        """Start something."""
        self.pids.append(self._session.spawn(*words, **named))
        return self.pids[-1]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


def host_of(session: Session) -> Any:
    return SimpleNamespace(
        session=Spawning(session),
        role="a",
        tainted=None,
        by_guest=lambda: Deadline.after(10),
        identity=SimpleNamespace(boot_id="1"),
    )


def test_a_host_is_busy_for_as_long_as_the_cell_lasts(session: Session) -> None:
    host = host_of(session)
    with chaos.busy(CHAOS, host):
        (pid,) = host.session.pids
        assert process(session, pid) is not None
    assert process(session, pid) is None
    assert host.tainted is None


def test_a_cell_without_chaos_is_left_alone(session: Session) -> None:
    host = host_of(session)
    with chaos.busy(QUIET, host):
        assert host.session.pids == []
    assert work_of(QUIET) == ()


def test_process_reusing_the_loads_pid_after_kexec_is_not_killed(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = host_of(session)
    with chaos.busy(CHAOS, host):
        (pid,) = host.session.pids
        found = process(session, pid)
        assert found is not None
        stranger = dataclasses.replace(found, start_time=found.start_time + 1)
        monkeypatch.setattr(commands, "process", lambda *_: stranger)
    assert process(session, pid) is not None
    session.check(["kill", "-KILL", "--", f"-{pid}"])


def test_only_linux_can_work_beside_its_beats() -> None:
    assert work_of(CHAOS) == ("beacon.work=1",)
    assert work_of(CHAOS.model_copy(update={"guest": GuestKind.SPINNER})) == ()


def ran(load: chaos.Load) -> tuple[int, int]:
    return load.tally.wanted, load.tally.counted


def test_a_load_that_runs_is_witnessed_at_each_look(session: Session) -> None:
    with chaos.busy(CHAOS, host_of(session)) as load:
        assert load is not None
        until("CPU time", lambda: load._had() > load._ticks[0] or None, Deadline.after(20))
        load.look()
        assert ran(load) == (1, 1)
        assert load.ticks > 0


def test_a_load_that_stands_still_is_not_one(session: Session) -> None:
    host = host_of(session)
    with chaos.busy(CHAOS, host) as load:
        assert load is not None
        session.check(["kill", "-STOP", "--", f"-{host.session.pids[0]}"])
        stopped = load._had()
        until("it to stand still", lambda: stopped == load._had() or None, Deadline.after(20))
        load.look()
        load.look()
        assert load.tally.counted < load.tally.wanted == 2


def test_a_load_that_has_ended_does_not_run(session: Session) -> None:
    host = host_of(session)
    with chaos.busy(CHAOS, host) as load:
        assert load is not None
        session.check(["kill", "-KILL", "--", f"-{host.session.pids[0]}"])
        until("its end", lambda: load._had() == 0 or None, Deadline.after(20))
        load.look()
        assert ran(load) == (1, 0)


def test_a_load_that_went_with_its_kernel_is_not_asked_for(session: Session) -> None:
    host = host_of(session)
    with chaos.busy(CHAOS, host) as load:
        assert load is not None
        host.identity = SimpleNamespace(boot_id="2")
        load.look()
        assert ran(load) == (0, 0)
