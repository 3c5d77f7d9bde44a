# SPDX-License-Identifier: Apache-2.0
"""The load that keeps the host of a chaos cell busy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lab.config.model import Cell
from lab.errors import InfraError
from lab.host.commands import kill, lives, process
from lab.host.host import RunningHost
from lab.observe.identity import ProcessIdentity

# Forks, files, pipes and arithmetic, for ever.
_LOAD = "while :; do ls -lR /usr/lib | md5sum; done"


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


def _end(host: RunningHost, load: ProcessIdentity) -> None:
    """End the load, unless it went with its kernel: another may have its number by now."""
    try:
        if lives(host.session, load):
            kill(host.session, load.pid, host.by_guest(), group=True)
    except InfraError as e:
        host.taint(f"its load could not be ended: {e}")
