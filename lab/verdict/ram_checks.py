# SPDX-License-Identifier: Apache-2.0
"""The judge's check that a guest that goes on has looked at its RAM; pure.

What it found wrong there is one of the harms of `identity_checks`. Here it is required that it
looked: a guest whose memory was taken away can beat on, as long as its beacon and its code stayed.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from lab.observe.identity import Happened
from lab.observe.trail import Trail
from lab.verdict.evidence import Evidence
from lab.verdict.memory_checks import each
from lab.verdict.verdict import Check, Unproven, Verdict

_PAGES_IN_A_MIB = 256


def since(e: Evidence) -> float:
    """Return when baseline, disruption, adoption and stops were over, on L0's clock."""
    done = e.disruption.done if isinstance(e.disruption, Happened) else e.baseline.ended
    adopted = [] if e.adopted is None else [e.adopted]
    return max([done, *adopted, *(stop.ended for stop in e.stops)])


def verified_mib(e: Evidence, trail: Trail) -> float | None:
    """Measure how much of its RAM a vCPU found as it had filled it, since `since(e)`.

    Args:
        e: The evidence.
        trail: What was seen of that vCPU.

    Returns:
        MiB, counted from the first look that began after that: what the vCPU had verified by then
        may be from before. None if it verifies none.
    """
    first = bisect_left(trail.after, since(e))
    stop = bisect_right(trail.by, e.end)
    if all(pages < 0 for pages in trail.verified[:stop]):
        return None
    if first >= stop:
        return 0.0
    return max(0, trail.verified[stop - 1] - trail.verified[first]) / _PAGES_IN_A_MIB


def ram(e: Evidence) -> Verdict | None:
    """Require that each vCPU that can has verified some of its RAM since `since(e)`.

    Args:
        e: The evidence; of a guest that is parked nothing is required until it is resumed.

    Returns:
        `Unproven`, or None.
    """
    if e.parked is not None:
        return None
    for who, trail in each(e):
        if verified_mib(e, trail) == 0:
            what = f"{who} verified none of its RAM since {_what(e)}"
            return Unproven(what, Check.RAM)
    return None


def _what(e: Evidence) -> str:
    if e.stops:
        return "it was resumed"
    if e.adopted is not None:
        return "it was adopted"
    return e.disruption.what if isinstance(e.disruption, Happened) else "its baseline"
