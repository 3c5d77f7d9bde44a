# SPDX-License-Identifier: Apache-2.0
"""Ways to serve an exit wrongly, for `labvmm cycle`: what watches the console must catch each.

Each waits where a VMM that is killed does harm, so that some are killed there.
"""

from __future__ import annotations

import mmap
import select
import struct
from collections.abc import Mapping

from ..devices.journal import Journal
from ..kvm import async_run as kvm_async
from ..machine import exits
from ..machine.exits import Handlers, Serve
from ..machine.vcpu import EXIT_REASON, Stop

LINGER_S = 0.02


def repeats(index: int, run: mmap.mmap, handlers: Handlers, journal: Journal) -> Stop | None:
    """Serve an exit again that the previous VMM served before it was killed."""
    exit_seq = kvm_async.page_of(run).exit_seq
    journal.served[index] = max(exit_seq - 1, 0)
    stop = exits.serve(index, run, handlers, journal)
    _linger()
    return stop


def loses(index: int, run: mmap.mmap, handlers: Handlers, journal: Journal) -> Stop | None:
    """Note that an exit was served, and serve it then."""
    exit_seq = kvm_async.page_of(run).exit_seq
    if exit_seq == journal.served[index]:
        return None
    journal.commit(index, exit_seq)
    _linger()
    (reason,) = struct.unpack_from("=I", run, EXIT_REASON)
    stop = handlers[reason](run)
    journal.write()
    return stop


def _linger() -> None:
    select.select([], [], [], LINGER_S)


MUTANTS: Mapping[str, Serve] = {"repeats": repeats, "loses": loses}
