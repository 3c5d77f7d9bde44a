# SPDX-License-Identifier: Apache-2.0
"""A busy host, a busy guest, and a disruption that comes at any moment."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

from lab.config.model import Cell, GuestKind
from lab.deadline import pause
from lab.errors import InfraError
from lab.host.commands import process
from lab.host.host import RunningHost
from lab.observe.identity import ProcessIdentity
from lab.runner.result import CellResult

_LONGEST_S = 2.0
# Forks, files, pipes and arithmetic, for ever.
_LOAD = "while :; do ls -lR /usr/lib | md5sum; done"


def words_of(cell: Cell) -> tuple[str, ...]:
    """Give the words that have a guest fault pages, fork and copy beside its beats."""
    return ("beacon.work=1",) if cell.options.chaos and cell.guest is GuestKind.LINUX else ()


@contextmanager
def busy(cell: Cell, host: RunningHost) -> Iterator[None]:
    """Have the host of a chaos cell work for as long as the block lasts."""
    if not cell.options.chaos:
        yield
        return
    pid = host.session.spawn(["sh", "-c", _LOAD], "/dev/null", by=host.by_guest())
    load = process(host.session, pid)
    if load is None:
        raise InfraError(f"{host.role} could not be kept busy: its load ended at once")
    try:
        yield
    finally:
        _end(host, load)


def wait_for_the_moment(result: CellResult) -> None:
    """Let a random time pass before a chaos cell is struck, and note it."""
    if result.cell.options.chaos:
        moment = random.uniform(0, _LONGEST_S)  # noqa: S311 - no secret
        result.facts["struck_after_s"] = round(moment, 3)
        pause(moment)


def _end(host: RunningHost, load: ProcessIdentity) -> None:
    """End the load, unless it went with its kernel: another may have its number by now."""
    try:
        now = process(host.session, load.pid)
        if now is not None and now.start_time == load.start_time:
            host.session.check(["kill", "-KILL", "--", f"-{load.pid}"], by=host.by_guest())
    except InfraError as e:
        host.taint(f"its load could not be ended: {e}")
