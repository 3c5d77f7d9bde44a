# SPDX-License-Identifier: Apache-2.0
"""What is found of a guest in all of its host's memory: each page, and whether it beats; pure."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from lab.errors import LabError
from lab.observe.beacon import PAGE, Page, parse
from lab.observe.eye import Read

_READINGS = 10


@dataclass(frozen=True, slots=True)
class Sighting:
    """A page with the guest's canary, signed with its key.

    Attributes:
        vcpu: The vCPU that it belongs to.
        phys: Its physical address in the host.
        seq: The newest beat on it.
        beats: Whether it was seen to change.
    """

    vcpu: int
    phys: int
    seq: int
    beats: bool


@dataclass(frozen=True, slots=True)
class Search:
    """What a search of the host's memory found.

    Attributes:
        found: Each page of the guest's, live or stale.
        watched: The physical addresses that the eye looked at when the search was made.
        whole: Whether all of the memory could be read.
        took_s: Seconds that it took.
        how: How the memory was read: "peek" by libvirt, "qemu" in the memory of its process.
    """

    found: tuple[Sighting, ...]
    watched: tuple[int, ...]
    whole: bool = True
    took_s: float = 0.0
    how: str = "peek"

    def live(self, vcpu: int) -> tuple[int, ...]:
        """Find the pages of a vCPU that beat.

        Args:
            vcpu: Its index.

        Returns:
            Their physical addresses in the host.
        """
        return tuple(s.phys for s in self.found if s.vcpu == vcpu and s.beats)

    def elsewhere(self, vcpu: int) -> tuple[int, ...]:
        """Find the pages of a vCPU that beat and were not watched.

        Args:
            vcpu: Its index.

        Returns:
            Their physical addresses in the host.
        """
        return tuple(phys for phys in self.live(vcpu) if phys not in self.watched)


def sighted(
    read: Read,
    pages: Collection[int],
    key: bytes,
    wait: Callable[[], None],
    watched: Collection[int] = (),
) -> tuple[Sighting, ...]:
    """Look twice at each of `pages`, with `wait` between, and say which of them beat.

    Args:
        read: Reads the host's memory.
        pages: Physical addresses that may hold a page of the guest's.
        key: The guest's key: what is not signed with it is not the guest's.
        wait: Lets pass as long as several beats take, of a slow guest's too.
        watched: Pages of which the eye tells whether they beat: for them alone nobody waits.

    Returns:
        What is at each page; what is not the guest's is left out.
    """
    before = {phys: _page(read, phys, key) for phys in pages}
    if set(before) - set(watched):
        wait()
    found = []
    for phys, old in before.items():
        new = _page(read, phys, key)
        latest = new or old
        if latest is not None:
            beats = old is not None and new is not None and _went_on(old, new)
            found.append(Sighting(latest.vcpu, phys, latest.seq, beats))
    return tuple(found)


def _went_on(old: Page, new: Page) -> bool:
    return (old.vcpu, old.boot_id, old.seq) != (new.vcpu, new.boot_id, new.seq)


def _page(read: Read, phys: int, key: bytes) -> Page | None:
    for _ in range(_READINGS):
        try:
            page = parse(read(phys, PAGE), key)
        except (LabError, OSError):
            return None
        if isinstance(page, Page):
            return page
    return None
