# SPDX-License-Identifier: Apache-2.0
"""What is kept of the beats and consoles of a cell: as much as a page draws."""

from __future__ import annotations

from pydantic import Field

from lab.record.parts import Part


class VcpuTimeline(Part):
    """The beats of one vCPU in bins of equal length, on both clocks, laid on one axis.

    The guest's clock is laid on L0's at the beginning of the baseline and left alone after it:
    where the two rows drift apart, the clocks did.
    """

    vcpu: int
    """Its index."""
    l0: tuple[int, ...]
    """Beats that L0 saw for the first time, in each bin."""
    guest: tuple[int, ...]
    """Beats by their own stamp, in each bin."""
    baseline_l0_ms: tuple[float, float] | None = None
    """The longest silence while nothing was done, at least and at most by L0's clock, in ms."""
    baseline_guest_ms: float | None = None
    """The same by the guest's clock, in ms."""


class TimelineRecord(Part):
    """What is needed to draw a silence plot; milliseconds, 0 is when the disruption was ordered."""

    began_ms: float
    """Where the first bin begins."""
    bin_ms: float = Field(gt=0)
    """How long a bin is."""
    baseline_ms: tuple[float, float]
    """Begin and end of the baseline."""
    done_ms: float | None = None
    """When the disruption was complete."""
    phases: tuple[tuple[str, float], ...] = ()
    """Phases: label, and when it began."""
    voids: tuple[tuple[float, float], ...] = ()
    """Begin and end of each stretch in which L0 itself stalled."""
    vcpus: tuple[VcpuTimeline, ...] = ()
    """The beats of each vCPU."""


class ConsoleRecord(Part):
    """Lines of one console around the disruption; `first` counts the whole console's from 1."""

    name: str
    """Whose console it is."""
    first: int = 1
    """The number of the first of `lines` in the whole console, from 1."""
    struck: int | None = None
    """How many of `lines` had come when the disruption was ordered."""
    lines: tuple[str, ...] = ()
    """The lines."""
