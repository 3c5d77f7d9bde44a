# SPDX-License-Identifier: Apache-2.0
"""A trail's beats hashed once more: whether each is linked to the one before it; pure.

A trail has the link of the newest beat of each batch. Those between follow from it, for a link is
a hash of the link before, the beat's number and its stamp: one stamp changed changes the end.
"""

from __future__ import annotations

from lab.observe.chain import links, origin
from lab.observe.trail import Kind, Trail


def unlinked(trail: Trail, key: bytes) -> int | None:
    """Find the first beat that was seen, and is not what the chain makes of it.

    Batches are hashed side by side, as a look hashes its beats.

    Args:
        trail: What was seen.
        key: The guest's key.

    Returns:
        The number of the newest beat of the first batch that is broken; None if none is.
    """
    batches = [i for i in range(len(trail.links)) if _anchor(trail, i) is not None]
    chains = {i: _anchor(trail, i) or 0 for i in batches}
    step = 0
    while batches:
        ends = {i: _end(trail, i) for i in batches}
        batches = [i for i in batches if trail.start[i] + step < ends[i]]
        made = links(
            key,
            [chains[i] for i in batches],
            [trail.seq[i] + step for i in batches],
            [trail.stamps[trail.start[i] + step] for i in batches],
        )
        chains.update(zip(batches, made, strict=True))
        step += 1
    broken = [i for i, chain in chains.items() if chain != trail.links[i]]
    if _begins_elsewhere(trail, key):
        broken.append(0)
    return _end_seq(trail, min(broken)) if broken else None


def _anchor(trail: Trail, batch: int) -> int | None:
    return trail.anchors[batch] if batch in trail.anchors else trail.links[batch - 1]


def _begins_elsewhere(trail: Trail, key: bytes) -> bool:
    """Whether the chain of a guest that was never restarted does not begin with its boot."""
    if not trail.links or trail.seq[0] != 1 or trail.boot_id is None:
        return False
    if any(each.kind is Kind.RESTART for each in trail.anomalies):
        return False
    return trail.anchors.get(0) != origin(key, trail.boot_id, trail.vcpu)


def _end(trail: Trail, batch: int) -> int:
    follows = batch + 1 < len(trail.start)
    return trail.start[batch + 1] if follows else len(trail.stamps)


def _end_seq(trail: Trail, batch: int) -> int:
    return trail.seq[batch] + _end(trail, batch) - trail.start[batch] - 1
