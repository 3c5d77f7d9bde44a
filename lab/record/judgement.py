# SPDX-License-Identifier: Apache-2.0
"""What was expected of a cell, and what the judge said, with its figures."""

from __future__ import annotations

from typing import Literal

from pydantic import SerializerFunctionWrapHandler, model_serializer

from lab.config.enums import Scope
from lab.record.parts import Part, Scalar


class ExpectationRecord(Part):
    """What the ladder says should come out."""

    kind: Literal["survives", "dies", "parks", "xfail", "unavailable"]
    """The word of the ladder."""
    scope: Scope = Scope.RUNNING
    """What is judged."""
    reason: str = ""
    """Of an xfail or an unavailable cell: why."""
    link: str = ""
    """Of an xfail: where the bug is tracked."""
    by: tuple[str, ...] = ()
    """Of a control or an xfail: the checks that it may be lost by; none is the usual ones."""

    @model_serializer(mode="wrap")
    # Without an annotation: with one, the schema would be that of any dictionary.
    def _sparse(self, handler: SerializerFunctionWrapHandler):  # type: ignore[no-untyped-def]
        written = handler(self)
        return written if self.by else {k: v for k, v in written.items() if k != "by"}

    @property
    def word(self) -> str:
        """The expectation in a word or two, for a grid."""
        return f"{self.kind} ({self.scope})" if self.kind == "survives" else self.kind


class VcpuFigures(Part):
    """The longest silence of one vCPU, on both clocks, in milliseconds.

    L0 sees beats only when it looks: it has a lower and an upper bound of a silence. The guest's
    clock is exact to a beat, if it can be trusted.
    """

    vcpu: int
    """Its index."""
    beats: int = 0
    """How many of its beats were seen."""
    longest_guest_ms: float | None = None
    """Longest gap between two beats by the guest's own clock, in ms."""
    longest_l0_ms: float | None = None
    """The least that this gap was by L0's clock, in ms."""
    most_l0_ms: float | None = None
    """The most that it was by L0's clock, in ms; null in records of version 1."""
    began_ms: float | None = None
    """When it began, in ms after the disruption was ordered; negative before it."""

    @property
    def longest_ms(self) -> float | None:
        """The guest's own figure within the bounds that L0 has; L0's where the guest has none."""
        least, most, own = self.longest_l0_ms, self.most_l0_ms, self.longest_guest_ms
        if own is None or least is None:
            return own if least is None else least
        return max(least, own if most is None else min(own, most))


class VerdictRecord(Part):
    """What the judge said, with the figures it rests on."""

    kind: Literal["Survived", "Parked", "Lost", "Unproven"]
    """The verdict."""
    reason: str
    """Why, in one sentence."""
    scope: Scope | None = None
    """What was judged."""
    vcpus: tuple[VcpuFigures, ...] = ()
    """The longest silence of each vCPU."""
    beats: int | None = None
    """How many beats were seen of all vCPUs."""
    looks_per_second: float | None = None
    """How often the outside eye looked."""
    look_cost_ms: float | None = None
    """What one look took, in ms."""
    windows: int | None = None
    """How many windows of control watches were compared."""
    void_windows: int = 0
    """How many of them are void, for L0 was late."""
    figures: dict[str, Scalar] = {}
    """Further figures, by name."""

    @property
    def longest_silence_ms(self) -> float | None:
        """The longest silence of any vCPU."""
        each = (v.longest_ms for v in self.vcpus)
        return max((ms for ms in each if ms is not None), default=None)
