# SPDX-License-Identifier: Apache-2.0
"""Ports of 127.0.0.1 and MAC addresses that no other run on this machine has."""

from __future__ import annotations

import contextlib
import hashlib
import random
import socket
from collections.abc import Iterator
from pathlib import Path

from lab.errors import InfraError
from lab.resources.ledger import Ledger, owned
from lab.resources.owner import Owner

# Below the ephemeral ports, so that no outgoing connection takes one between choice and use.
_FIRST, _LAST = 22000, 29999


@contextlib.contextmanager
def reserved_port(state: Path, what: str) -> Iterator[int]:
    """Reserve a free port of 127.0.0.1 for the block, or until this process dies.

    Args:
        state: The state folder, whose ledger all labs on this machine share.
        what: What it is for.

    Yields:
        The port.

    Raises:
        InfraError: No port is free.
    """
    ledger = Ledger(state / "ports.json")
    me = Owner.me()
    with ledger.opened() as entries:
        used = {int(e["port"]) for e in entries}
        port = _free_port(used)
        mine = owned(me, port=port, what=what)
        entries.append(mine)
    try:
        yield port
    finally:
        with ledger.opened() as entries:
            entries[:] = [e for e in entries if e != mine]


def mac_for(run_id: str, role: str) -> str:
    """Return the MAC of a machine: always the same, in QEMU's own range.

    Args:
        run_id: The run.
        role: The machine's name in it.

    Returns:
        Six bytes in hexadecimal, with colons.
    """
    digest = hashlib.sha256(f"{run_id}/{role}".encode()).digest()
    return "52:54:00:" + digest[:3].hex(":")


def _free_port(used: set[int]) -> int:
    candidates = [p for p in range(_FIRST, _LAST + 1) if p not in used]
    random.shuffle(candidates)  # another program may sit on a run of them
    for port in candidates:
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise InfraError(
        f"no port of 127.0.0.1 between {_FIRST} and {_LAST} is free",
        hint="see who listens with 'ss -ltn'",
    )
