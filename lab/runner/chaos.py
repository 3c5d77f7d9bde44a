# SPDX-License-Identifier: Apache-2.0
"""The load on the host of a chaos cell, and the witness that it ran."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

from lab.config.model import Cell
from lab.errors import InfraError
from lab.host.commands import kill, lives, process
from lab.host.host import RunningHost
from lab.observe.identity import ProcessIdentity
from lab.runner.course import Course
from lab.verdict.evidence import Tally

# Forks, files, pipes and arithmetic, until it is killed.
_LOAD = "while :; do ls -lR /usr/lib | md5sum; done"
_TIMES = "cat /proc/[0-9]*/stat 2>/dev/null; :"
# Words after the name: proc_pid_stat(5), fields 5 and 14 to 17, of itself and of those it reaped.
_GROUP, _CPU = 2, slice(11, 15)


class Load:
    """The processes of a load, and how much CPU time they had had at each look.

    Args:
        host: The host that they are on.
        leader: The first of them, whose number their group has.
    """

    def __init__(self, host: RunningHost, leader: ProcessIdentity) -> None:
        self._host, self._leader = host, leader
        self._boot = host.identity.boot_id
        self._ticks = [self._had()]

    def look(self) -> None:
        """Note how much CPU time they have had by now, unless they went with their kernel."""
        if self._host.identity.boot_id == self._boot:
            self._ticks.append(self._had())

    @property
    def tally(self) -> Tally:
        """How often they were looked at, and how often they had run since the look before."""
        ran = sum(b > a for a, b in pairwise(self._ticks))
        return Tally("looks at a load that runs", len(self._ticks) - 1, ran)

    @property
    def ticks(self) -> int:
        """The clock ticks of CPU time, 10 ms each, that they had between first and last look."""
        return self._ticks[-1] - self._ticks[0]

    def _had(self) -> int:
        said = self._host.session.run(["sh", "-c", _TIMES], by=self._host.by_guest()).stdout
        words = [line.rpartition(")")[2].split() for line in said.splitlines()]
        mine = [each for each in words if each[_GROUP] == str(self._leader.pid)]
        return sum(int(ticks) for each in mine for ticks in each[_CPU])


@contextmanager
def busy(cell: Cell, host: RunningHost) -> Iterator[Load | None]:
    """Load the host of a chaos cell for as long as the block lasts; of any other cell do nothing.

    Args:
        cell: The cell.
        host: Its host.

    Yields:
        The load; None for any other cell.

    Raises:
        InfraError: The load ended at once.
    """
    if not cell.options.chaos:
        yield None
        return
    pid = host.session.spawn(["sh", "-c", _LOAD], "/dev/null", by=host.by_guest())
    load = process(host.session, pid)
    if load is None:
        raise InfraError(f"the load on {host.role} ended at once")
    try:
        yield Load(host, load)
    finally:
        _end(host, load)


def tallies(load: Load | None, course: Course) -> tuple[Tally, ...]:
    """Look once more whether a load runs, and note how much CPU time it had.

    Args:
        load: The load; None of a cell without one.
        course: Where to note it.

    Returns:
        How often it was looked at, and how often it had run; nothing of a cell without one.
    """
    if load is None:
        return ()
    load.look()
    course.facts["load_ticks"] = load.ticks
    return (load.tally,)


def _end(host: RunningHost, load: ProcessIdentity) -> None:
    """End the load, unless it went with its kernel: another may have its number by now."""
    try:
        if lives(host.session, load):
            kill(host.session, load.pid, host.by_guest(), group=True)
    except InfraError as e:
        host.taint(f"its load could not be ended: {e}")
