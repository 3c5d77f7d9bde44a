# SPDX-License-Identifier: Apache-2.0
"""All of an L1's memory searched for a guest: before it is called lost, and for a second copy."""

from __future__ import annotations

import time
from collections.abc import Collection

from lab.deadline import pause
from lab.errors import InfraError
from lab.guest.guest import RunningGuest
from lab.observe.scan import beacons_in, scan
from lab.observe.search import Search, sighted
from lab.virt.memory_view import Layout, MemoryView, memory_view

_MIB = 1 << 20
_LOW = 2 << 30
_HEADER = 64  # of a beacon: it never changes
_BEATS_S = 1.2  # in which a guest that beats once a second is seen to


def search(guest: RunningGuest, watched: Collection[int], *, slowly: bool) -> Search | None:
    """Search its host's memory for a guest, without asking the host.

    Args:
        guest: The guest; it need not live.
        watched: The physical addresses at which the eye looks.
        slowly: Whether to search by peeks, at some 86 MiB/s, where QEMU cannot be read.

    Returns:
        What was found; None if only a slow search was possible, and that was not asked for.
    """
    began, wanted = time.monotonic(), guest.host.blueprint.request
    layout = Layout(wanted.memory_mib * _MIB, wanted.arch.traits.ram_base)
    with memory_view(guest.host.domain.name, layout) as view:
        seen = _in_qemu(view, guest, watched) if view is not None else None
        if view is not None and seen is not None:
            how, read, pages, whole = "qemu", view.read, seen, True
        elif slowly:
            how, read = "peek", guest.host.domain.peek
            pages, whole = _by_peek(guest)
        else:
            return None
        found = sighted(read, pages, guest.plan.key, lambda: pause(_BEATS_S), watched)
    took = time.monotonic() - began
    return Search(found, tuple(watched), whole=whole, took_s=took, how=how)


def _in_qemu(view: MemoryView, guest: RunningGuest, watched: Collection[int]) -> list[int] | None:
    """Search in QEMU; None if it ended, or shows other bytes than libvirt at what was watched."""
    peek, canary = guest.host.domain.peek, guest.plan.canary
    try:
        same = all(view.read(phys, _HEADER) == peek(phys, _HEADER) for phys in watched)
        if not watched or not same:
            return None
        return [phys + at for phys, data in view.pieces() for at in beacons_in(data, canary)]
    except (InfraError, OSError):
        return None


def _by_peek(guest: RunningGuest) -> tuple[list[int], bool]:
    host, unread = guest.host, []
    wanted = host.blueprint.request
    base = wanted.arch.traits.ram_base

    def read(offset: int, size: int) -> bytes:
        try:
            return host.domain.peek(base + offset, size)
        except InfraError as e:
            unread.append(e)
            raise

    size = wanted.memory_mib * _MIB
    # A larger machine of x86-64's has the rest above 4 GiB; where nothing is, zeros are read.
    size += 0 if size <= _LOW else _LOW
    found = scan(read, size, guest.plan.canary, chunk=_MIB)
    return [base + offset for offset in found], not unread
