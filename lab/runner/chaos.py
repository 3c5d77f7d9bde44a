# SPDX-License-Identifier: Apache-2.0
"""The load on the host of a chaos cell."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lab.config.model import Cell
from lab.errors import InfraError
from lab.host.commands import kill, lives, process
from lab.host.host import RunningHost
from lab.observe.identity import ProcessIdentity

# Forks, files, pipes and arithmetic, until it is killed.
_LOAD = "while :; do ls -lR /usr/lib | md5sum; done"


@contextmanager
def busy(cell: Cell, host: RunningHost) -> Iterator[None]:
    """Load the host of a chaos cell for as long as the block lasts; of any other cell do nothing.

    Args:
        cell: The cell.
        host: Its host.

    Raises:
        InfraError: The load ended at once.
    """
    if not cell.options.chaos:
        yield
        return
    pid = host.session.spawn(["sh", "-c", _LOAD], "/dev/null", by=host.by_guest())
    load = process(host.session, pid)
    if load is None:
        raise InfraError(f"the load on {host.role} ended at once")
    try:
        yield
    finally:
        _end(host, load)


def _end(host: RunningHost, load: ProcessIdentity) -> None:
    """End the load, unless it went with its kernel: another may have its number by now."""
    try:
        if lives(host.session, load):
            kill(host.session, load.pid, host.by_guest(), group=True)
    except InfraError as e:
        host.taint(f"its load could not be ended: {e}")
