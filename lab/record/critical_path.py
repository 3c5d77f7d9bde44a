# SPDX-License-Identifier: Apache-2.0
"""What the length of a run, or of a cell, came of: what waited for what; pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lab.record.labels import seconds
from lab.record.model import RunRecord

TURN = "turn"  # the phase of a cell in which it waits for others that have the machine
CHECK = "test beside the cells"
_APART_S = 0.5  # less is no waiting, but what lies between two tests of a worker
_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Ran:
    """One thing that was run.

    Attributes:
        what: The key of a cell, or the id of a test beside them.
        worker: Its worker.
        began: Seconds since the run began.
        ended: Seconds since the run began.
        phases: What it did, in order: label and seconds; of a test beside the cells, one phase.
    """

    what: str
    worker: str
    began: float
    ended: float
    phases: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Link:
    """One thing on the critical path: the run ended no sooner, for this lasted so long.

    Attributes:
        ran: What was run.
        since: Since when only this kept the run, in seconds since the run began.
        waited_for: What it waited for until then; "" if it was the first.
        idle_s: Seconds before it in which nothing of the run is known to have been done.
    """

    ran: Ran
    since: float
    waited_for: str
    idle_s: float

    @property
    def seconds(self) -> float:
        """How long it alone kept the run."""
        return self.ran.ended - self.since


@dataclass(frozen=True, slots=True)
class CriticalPath:
    """What waited for what until the run ended.

    Attributes:
        links: In order of time.
        length_s: From the beginning of the run to the end of the last thing that was run.
    """

    links: tuple[Link, ...]
    length_s: float

    @property
    def by_phase(self) -> dict[str, float]:
        """Seconds of the path by phase, the longest first; "between" is what none has."""
        found: dict[str, float] = defaultdict(float)
        for link in self.links:
            found["between"] += link.idle_s
            cut = link.since - link.ran.began  # of its phases, what was before was somebody else's
            for label, took in link.ran.phases:
                found[label] += max(0.0, took - max(cut, 0.0))
                cut -= took
            found["between"] += max(0.0, link.seconds - _left(link))
        by_length = sorted(found.items(), key=lambda each: -each[1])
        return {label: round(s, 3) for label, s in by_length if s > 0}


def ran_in(record: RunRecord) -> list[Ran]:
    """Return all that a run has run, and knows the times of.

    Args:
        record: The run.

    Returns:
        Cells, then tests beside them; none of a record that is older than these times.
    """
    start = record.started
    cells = [(cell.key, cell.turn, cell.phases) for cell in record.cells]
    checks = [(check.id, check.turn, ((CHECK, check.duration_s),)) for check in record.checks]
    return [
        Ran(
            what,
            turn.worker,
            (turn.began - start).total_seconds(),
            (turn.ended - start).total_seconds(),
            phases,
        )
        for what, turn, phases in (*cells, *checks)
        if turn is not None
    ]


def critical_path(ran: Sequence[Ran]) -> CriticalPath:
    """Follow a run back from its end: each thing began when another one ended.

    That is, in a cell that waited for its turn, the last one of another worker that ended while it
    did; else the last one that ended before it began, of its own worker where two did together.

    Args:
        ran: All that was run.

    Returns:
        The path; of nothing, an empty one.
    """
    links: list[Link] = []
    now = max(ran, key=lambda one: one.ended, default=None)
    length = now.ended if now else 0.0
    while now is not None:
        before, since = _before(now, ran)
        idle = since - before.ended if before else since
        links.append(Link(now, since, before.what if before else "", max(0.0, idle)))
        now = before
    return CriticalPath(tuple(reversed(links)), length)


def lines(path: CriticalPath) -> Iterator[str]:
    """Write for people what the length of a run came of.

    Args:
        path: Its critical path.

    Yields:
        The length, where the time went, and the longest links with what each waited for.
    """
    yield f"critical path: {seconds(path.length_s)}, {len(path.links)} things one after another"
    yield f"  where it went: {told_phases(path.by_phase)}"
    for link in sorted(path.links, key=lambda one: -one.seconds)[:_SHOWN]:
        after = f", after {link.waited_for}" if link.waited_for else ""
        yield f"  {seconds(link.seconds):>12}  {link.ran.what}{after}"


def told_phases(phases: Mapping[str, float]) -> str:
    """Return phases and how long each took, as a phrase.

    Args:
        phases: Seconds by label, in the order in which they are told.

    Returns:
        As "host 24.1 s, watch 6.0 s".
    """
    return ", ".join(f"{label} {seconds(s)}" for label, s in phases.items())


def _before(now: Ran, ran: Iterable[Ran]) -> tuple[Ran | None, float]:
    """Return what a thing waited for, and since when only the thing itself kept the run."""
    waited = next((s for label, s in now.phases[:1] if label == TURN), 0.0)
    others = [one for one in ran if one is not now and one.began < now.began]
    if waited > _APART_S:
        until = now.began + waited + _APART_S
        there = [
            one for one in others
            if one.worker != now.worker and now.began < one.ended <= until
        ]  # fmt: skip
        if there:
            last = max(there, key=lambda one: one.ended)
            return last, last.ended
    gone = [one for one in others if one.ended <= now.began]
    newest = max((one.ended for one in gone), default=0.0)
    close = [one for one in gone if newest - one.ended <= _APART_S]
    return max(
        close, key=lambda one: (one.worker == now.worker, one.ended), default=None
    ), now.began


def _left(link: Link) -> float:
    """Return how much of a link its phases account for, in seconds."""
    whole = sum(took for _, took in link.ran.phases)
    return min(link.seconds, max(0.0, whole - max(0.0, link.since - link.ran.began)))
