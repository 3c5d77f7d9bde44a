# SPDX-License-Identifier: Apache-2.0
"""The outside eye: looks at the beacons through whatever reads the host's physical memory."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Self

from lab.deadline import Deadline, until
from lab.errors import InfraError, LabError
from lab.observe.beacon import PAGE, parse
from lab.observe.trail import Look, Trail

Read = Callable[[int, int], bytes]
_SPAN = 64 * 1024
_READINGS = 10
_SEEN_BEATING = 2


@dataclass(frozen=True, slots=True)
class Mark:
    """A named instant on L0's clock: where a phase of the cell began."""

    label: str
    at: float


@dataclass(frozen=True, slots=True)
class Sight:
    """How good the eye was.

    Attributes:
        looks: How often it looked at all pages.
        per_second: Looks per second, on average.
        cost_s: Seconds that a look took, on average.
        longest_s: The longest time between the beginnings of two looks.
        again: Readings that had to be repeated, for a beat was being written.
        errors: Readings that failed.
        last_error: Why the last of them failed; empty if none did.
    """

    looks: int
    per_second: float
    cost_s: float
    longest_s: float
    again: int
    errors: int
    last_error: str


@dataclass(frozen=True, slots=True)
class Found:
    """What an eye has seen; a copy, which the thread that looks does not change.

    Attributes:
        trails: What was seen of each vCPU, by its index.
        marks: The phases that were marked, in order.
        sight: How good the eye was.
    """

    trails: Mapping[int, Trail]
    marks: tuple[Mark, ...]
    sight: Sight


def spans(pages: Mapping[int, int]) -> list[tuple[int, int, dict[int, int]]]:
    """Join pages that lie within 64 KiB into one read.

    Args:
        pages: The physical address of each vCPU's page.

    Returns:
        For each read its address, its size in bytes, and where in it each vCPU's page begins.
    """
    found: list[tuple[int, int, dict[int, int]]] = []
    for vcpu, phys in sorted(pages.items(), key=lambda item: item[1]):
        if found and phys + PAGE - found[-1][0] <= _SPAN:
            start, _, offsets = found.pop()
            found.append((start, phys + PAGE - start, {**offsets, vcpu: phys - start}))
        else:
            found.append((phys, PAGE, {vcpu: 0}))
    return found


class Eye:
    """Looks at one guest's beacons again and again, in a thread of its own.

    Args:
        read: Reads bytes at a physical address of the host; a LabError or OSError is noted as
            a moment of blindness, and the eye looks on.
        pages: Where each vCPU's beacon page is.
        key: The guest's key.
        canary: The guest's canary.
        look_every_s: Seconds from one look to the next.
        boot_id: What the guest said of itself when it started, if that is known.
        clock: L0's monotonic clock; a rehearsal brings its own.
    """

    def __init__(
        self,
        read: Read,
        pages: Mapping[int, int],
        key: bytes,
        canary: bytes,
        look_every_s: float = 0.02,
        *,
        boot_id: bytes | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read, self._key, self._every, self._clock = read, key, look_every_s, clock
        self._trails = {vcpu: Trail(vcpu, key, canary, boot_id) for vcpu in pages}
        self._spans = spans(pages)
        self._marks: list[Mark] = []
        self._lock, self._enough = Lock(), Event()
        self._thread: Thread | None = None
        self._broken: Exception | None = None
        self._looks = self._again = self._errors = 0
        self._cost = self._longest = 0.0
        self._first = self._last = float("nan")
        self._last_error = ""

    def start(self) -> None:
        """Begin to look, in a thread of its own.

        Raises:
            InfraError: It was started before.
        """
        if self._thread is not None:
            raise InfraError("this eye was started before", hint="make a new Eye")
        self._thread = Thread(target=self._watch, name="eye", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more; return when the last look is over."""
        self._enough.set()
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def mark(self, label: str) -> float:
        """Mark that a phase begins now.

        Args:
            label: The phase's name.

        Returns:
            The instant, on L0's monotonic clock in seconds.
        """
        at = self._clock()
        with self._lock:
            self._marks.append(Mark(label, at))
        return at

    @property
    def pages(self) -> dict[int, int]:
        """The physical address at which each vCPU's page is looked for."""
        return {
            vcpu: start + offset
            for start, _, offsets in self._spans
            for vcpu, offset in offsets.items()
        }

    def relocate(self, pages: Mapping[int, int]) -> None:
        """Look at other pages of the same vCPUs from now on.

        Args:
            pages: The physical address of each vCPU's page; one that is unchanged has not moved.

        Raises:
            InfraError: They are pages of other vCPUs than those that are watched.
        """
        if set(pages) != set(self._trails):
            raise InfraError(
                f"the eye watches vCPUs {sorted(self._trails)}, and pages came for {sorted(pages)}",
                hint="pass the page of each vCPU that is watched",
            )
        with self._lock:
            at = self._clock()
            before = {v: start + off for start, _, old in self._spans for v, off in old.items()}
            for vcpu, trail in self._trails.items():
                if before[vcpu] != pages[vcpu]:
                    trail.move(at)
            self._spans = spans(pages)

    def look(self) -> None:
        """Look once at all pages."""
        with self._lock:
            began = self._clock()
            for start, size, offsets in self._spans:
                self._look_at(start, size, offsets)
            ended = self._clock()
            if self._looks:
                self._longest = max(self._longest, began - self._last)
            else:
                self._first = began
            self._last = began
            self._looks += 1
            self._cost += ended - began

    def looked(self, times: int, by: Deadline) -> None:
        """Wait for a number of looks, so that what is there now has been seen.

        Args:
            times: How many looks to wait for.
            by: When to give up.

        Raises:
            DeadlineError: There were not as many looks.
            InfraError: The thread that looks has failed, by a fault of the lab.
        """
        before = self.found().sight.looks
        until("the eye to look", lambda: self.found().sight.looks >= before + times or None, by)

    def beating(self, by: Deadline) -> None:
        """Wait until new beats of each vCPU were seen in two looks.

        Args:
            by: When to give up.

        Raises:
            DeadlineError: A vCPU does not beat; the message says which.
            InfraError: The thread that looks has failed, by a fault of the lab.
        """
        for vcpu in sorted(self._trails):
            until(f"beats of vCPU {vcpu}", lambda v=vcpu: self._beats(v), by, every=0.05)  # type: ignore[misc]

    def found(self) -> Found:
        """Return a copy of what was seen so far.

        Returns:
            Trails, marks, and how good the eye was.

        Raises:
            InfraError: The thread that looks has failed, by a fault of the lab.
        """
        with self._lock:
            if self._broken is not None:
                raise InfraError(f"the eye failed: {self._broken!r}") from self._broken
            return Found(copy.deepcopy(self._trails), tuple(self._marks), self._sight())

    def _sight(self) -> Sight:
        spent = self._last - self._first if self._looks > 1 else 0.0
        rate = (self._looks - 1) / spent if spent > 0 else 0.0
        cost = self._cost / self._looks if self._looks else 0.0
        counts = (self._again, self._errors, self._last_error)
        return Sight(self._looks, rate, cost, self._longest, *counts)

    def _beats(self, vcpu: int) -> bool | None:
        with self._lock:
            if self._broken is not None:
                raise InfraError(f"the eye failed: {self._broken!r}") from self._broken
            return True if len(self._trails[vcpu].by) >= _SEEN_BEATING else None

    def _watch(self) -> None:
        due = self._clock()
        try:
            while not self._enough.wait(max(0.0, due - self._clock())):
                due = max(due + self._every, self._clock())
                self.look()
        except Exception as e:  # noqa: BLE001 - `found` raises it
            with self._lock:
                self._broken = e

    def _look_at(self, start: int, size: int, offsets: Mapping[int, int]) -> None:
        wanted = dict(offsets)
        for _ in range(_READINGS):
            began = self._clock()
            try:
                data = self._read(start, size)
            except (LabError, OSError) as e:
                self._errors += 1
                self._last_error = str(e)
                for vcpu in wanted:
                    self._trails[vcpu].blind(began, f"reading failed: {e}")
                return
            look = Look(began, self._clock())
            for vcpu, offset in list(wanted.items()):
                if self._trails[vcpu].take(look, parse(data[offset : offset + PAGE], self._key)):
                    del wanted[vcpu]
            if not wanted:
                return
            self._again += 1
