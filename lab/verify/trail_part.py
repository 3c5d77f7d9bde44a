# SPDX-License-Identifier: Apache-2.0
"""A trail as it stands in a file: every public attribute of it, and nothing else; pure.

Stamps are written as steps, since those are short numbers.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from itertools import accumulate, pairwise
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lab.observe.trail import Anomaly, Blind, Own, Trail

_U64 = (1 << 64) - 1
_I64 = 1 << 63
Unsigned = Annotated[int, Field(ge=0, le=_U64)]
Boot = Annotated[str, Field(pattern=r"^([0-9a-f]{2})*$")]


class FilePart(BaseModel):
    """A frozen piece of an evidence file; unknown keys are errors, infinities are not."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TrailPart(FilePart):
    """The trail of one vCPU.

    Raises:
        ValueError: Its lists do not fit together.
    """

    vcpu: int
    boot_id: Boot | None
    nvcpus: int
    period_ns: int
    irqs: int
    stamps: tuple[int, ...]
    seq: tuple[Unsigned, ...]
    start: tuple[Unsigned, ...]
    links: tuple[Unsigned, ...]
    anchors: dict[int, Unsigned | None]
    clear_began: tuple[float, ...]
    clear_ended: tuple[float, ...]
    after: tuple[float, ...]
    by: tuple[float, ...]
    anomalies: tuple[Anomaly, ...]
    blinds: tuple[Blind, ...]
    moves: tuple[float, ...]
    owns: tuple[Own, ...]
    verified: tuple[int, ...] = ()  # before a beacon told it, there was none

    @model_validator(mode="after")
    def _fits(self) -> Self:
        batches = len(self.start)
        lists = (self.seq, self.links, self.after, self.by)
        if any(len(one) != batches for one in lists):
            raise ValueError("its batches are not as many in each list")
        if len(self.verified) not in {0, batches} or not all(-1 <= n < _I64 for n in self.verified):
            raise ValueError("its pages of RAM are not of its batches")
        if len(self.clear_began) != len(self.clear_ended):
            raise ValueError("a look that is clear has no beginning or no end")
        if any(a >= b for a, b in pairwise((*self.start, len(self.stamps)))):
            raise ValueError("a batch has no beat")
        if self.start[:1] not in {(), (0,)} or (self.stamps and not batches):
            raise ValueError("beats are in no batch")
        if (batches and 0 not in self.anchors) or not self.anchors.keys() <= set(range(batches)):
            raise ValueError("its links are not of its batches")
        if not all(0 <= stamp <= _U64 for stamp in accumulate(self.stamps)):
            raise ValueError("a stamp is no number of 64 bits")
        return self

    def trail(self, key: bytes) -> Trail:
        """Return the trail.

        Args:
            key: Of the guest's beacon.
        """
        boot = None if self.boot_id is None else bytes.fromhex(self.boot_id)
        trail = Trail(self.vcpu, key, b"", boot)
        trail.nvcpus, trail.period_ns, trail.irqs = self.nvcpus, self.period_ns, self.irqs
        trail.stamps = array("Q", accumulate(self.stamps))
        trail.seq, trail.start = array("Q", self.seq), array("Q", self.start)
        trail.links, trail.anchors = array("Q", self.links), dict(self.anchors)
        trail.clear_began = array("d", self.clear_began)
        trail.clear_ended = array("d", self.clear_ended)
        trail.after, trail.by = array("d", self.after), array("d", self.by)
        trail.anomalies, trail.blinds = list(self.anomalies), list(self.blinds)
        trail.moves, trail.owns = list(self.moves), list(self.owns)
        trail.verified = array("q", self.verified or [-1] * len(self.seq))
        return trail


def written(trail: Trail) -> dict[str, object]:
    """Return a trail by the names of `TrailPart`, which are those of its public attributes.

    Args:
        trail: One vCPU.
    """
    found = {name: value for name, value in vars(trail).items() if not name.startswith("_")}
    found["boot_id"] = None if trail.boot_id is None else trail.boot_id.hex()
    found["stamps"] = list(steps(trail.stamps))
    return {name: found.pop(name) for name in TrailPart.model_fields} | found


def steps(values: Iterable[int]) -> Iterator[int]:
    """Yield the first number, and then by how much each differs from the one before.

    Args:
        values: The numbers.

    Yields:
        Numbers that `itertools.accumulate` turns back.
    """
    before = 0
    for value in values:
        yield value - before
        before = value
