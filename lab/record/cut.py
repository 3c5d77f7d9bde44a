# SPDX-License-Identifier: Apache-2.0
"""A run cut into shards, so that several machines judge it: what a shard says of the whole; pure.

Every shard makes the same cut by itself, from the same topologies and the same learned durations.
What it says of the whole is what a merge compares.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Mapping, Sequence
from statistics import fmean

from pydantic import Field

from lab.record.asked import PlanRecord
from lab.record.parts import Name, Part, Utc

_SHOWN = 12  # hexadecimal digits of a digest in a message


class WholeRecord(Part):
    """The whole run of which a shard is a part: the same in all of its shards."""

    names: tuple[str, ...]
    """Every test, in order: keys of cells, ids of tests beside them."""
    must_run: tuple[str, ...]
    """Ids of the cells that have to be judged."""
    plan: PlanRecord
    """What has to be judged, and what was asked for."""
    limits: dict[str, float]
    """[watch] and [patience] of lab.toml, as "watch.patience_s"."""
    lab_commit: str
    """The commit of the lab's checkout; "" where it is none."""
    lab_source: str
    """SHA-256 over the Python files of the lab."""
    durations: str
    """SHA-256 over the learned durations by which the run was cut."""


class ShardRecord(Part):
    """Which shard of a run this is."""

    index: int = Field(ge=1)
    """Its number, from 1."""
    of: int = Field(ge=1)
    """How many shards there are."""
    whole: WholeRecord
    """The run that was cut."""


class MergedShard(Part):
    """One of the shards that a run was merged from."""

    index: int = Field(ge=1)
    """Its number, from 1."""
    run_id: Name
    """Its own id, as a run."""
    started: Utc
    """When it began."""
    ended: Utc
    """When it ended."""
    command_line: tuple[str, ...] = ()
    """What was typed."""
    root: str
    """The digest over all of it: its hash tree."""
    signed_by: str = ""
    """The fingerprint of the key that signed that; "" if nobody did."""
    names: tuple[str, ...]
    """The tests that it ran: keys of cells, ids of tests beside them."""


def bundles(ids: Sequence[str], pairs: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
    """Return the ids that no cut may separate: a cell, its control, and all that share that.

    Args:
        ids: The ids, each once, in order.
        pairs: The control of a cell, by the cell's id; one that is not in `ids` binds nothing.

    Returns:
        The bundles, by the first id of each.
    """
    found = {each: [each] for each in ids}
    for one, other in pairs.items():
        if one in found and other in found and found[one] is not found[other]:
            found[one] += found[other]
            found.update(dict.fromkeys(found[other], found[one]))
    place = {each: n for n, each in enumerate(ids)}
    unique = {id(each): each for each in found.values()}
    return tuple(tuple(sorted(each, key=place.__getitem__)) for each in unique.values())


def cut(weights: Sequence[float], of: int) -> tuple[int, ...]:
    """Cut bundles into shards that take about the same time: the longest goes first.

    Args:
        weights: How long each bundle takes, in seconds.
        of: How many shards.

    Returns:
        The shard of each bundle, from 1. The same weights are always cut the same way.
    """
    load = [0.0] * of
    size = [0] * of
    found = [0] * len(weights)
    for n in sorted(range(len(weights)), key=lambda n: (-weights[n], n)):
        least = min(range(of), key=lambda shard: (load[shard], size[shard], shard))
        load[least] += weights[n]
        size[least] += 1
        found[n] = least + 1
    return tuple(found)


def seconds(name: Hashable, durations: Mapping[str, float]) -> float:
    """Return how long a test takes.

    Args:
        name: Its id.
        durations: What was learned, in seconds, by id.

    Returns:
        Seconds: what was learned; else the mean of the others; 1 where nothing was learned.
    """
    known = durations.get(str(name))
    return known if known is not None else fmean(durations.values()) if durations else 1.0


def digest_of_durations(durations: Mapping[str, float]) -> str:
    """Return the SHA-256 over learned durations: shards of one run were cut by the same.

    Args:
        durations: Seconds, by id.

    Returns:
        64 hexadecimal digits.
    """
    return hashlib.sha256(json.dumps(durations, sort_keys=True).encode()).hexdigest()


def short(value: object) -> str:
    """Return a value for a message, a digest by its first digits.

    Args:
        value: The value.

    Returns:
        What is printed of it.
    """
    text = str(value) or "not known"
    return f"{text[:_SHOWN]}..." if len(text) > 2 * _SHOWN else text
