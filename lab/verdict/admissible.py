# SPDX-License-Identifier: Apache-2.0
"""May this evidence be judged at all? Two witnesses, sane times, a watch that is long enough."""

from __future__ import annotations

import math

from lab.observe.identity import DidNot, Happened, Undisturbed
from lab.verdict.evidence import Evidence
from lab.verdict.verdict import Check, Scope, Unproven


def admissible(e: Evidence) -> Unproven | None:
    """Return why nothing can be judged by this evidence; None if it can be."""
    return _sane(e) or _watched(e) or _untouched(e) or _disrupted(e) or _long_enough(e)


def _no(e: Evidence, reason: str, check: Check) -> Unproven:
    return Unproven(reason, check, e.scope)


def _sane(e: Evidence) -> Unproven | None:
    limits = e.limits
    times = [e.baseline.began, e.baseline.ended, e.end]
    times += [limits.patience, limits.closing, limits.live, limits.rewind]
    times += [limits.clock_step, limits.clock_rate, limits.beat_rate]
    if isinstance(e.disruption, Happened):
        times += [e.disruption.at, e.disruption.done]
    times += [when for when in (e.handed, e.adopted) if when is not None]
    times += [one.at for one in e.interference]
    if not all(map(math.isfinite, times)):
        return _no(e, "a time in the evidence is not a number", Check.EVIDENCE)
    if not (0 < limits.closing <= limits.patience and 0 < limits.live <= limits.patience):
        return _no(e, "closing and live must be above 0 and within patience", Check.EVIDENCE)
    if not e.baseline.began < e.baseline.ended <= e.end:
        return _no(e, "the baseline is not within the watch", Check.EVIDENCE)
    if e.handed is not None and e.handed < e.baseline.ended:
        return _no(e, "the guest was handed over in its baseline", Check.EVIDENCE)
    if e.adopted is not None and not e.baseline.ended <= e.adopted <= e.end:
        return _no(e, "the guest was not adopted within the watch", Check.EVIDENCE)
    return _stops(e)


def _stops(e: Evidence) -> Unproven | None:
    """A stop excuses silence: it must be said for what, and leave the baseline alone."""
    for stop in e.stops:
        within = e.baseline.ended <= stop.began <= stop.ended <= e.end
        if not (stop.why and within):  # nan compares to nothing
            return _no(e, "a stop has no reason, or is not within the watch", Check.EVIDENCE)
    return None


def _watched(e: Evidence) -> Unproven | None:
    wanted = set(range(e.expected_vcpus))
    if set(e.trails) != wanted or any(trail.vcpu != n for n, trail in e.trails.items()):
        what = f"{e.expected_vcpus} vCPUs were expected, and those watched are {sorted(e.trails)}"
        return _no(e, what, Check.EVIDENCE)
    if not wanted and e.scope is Scope.RUNNING:
        return _no(e, "no vCPU was watched", Check.EVIDENCE)
    return None


def _untouched(e: Evidence) -> Unproven | None:
    """A host that others stopped or reset meanwhile shows what they did, and nothing of itself."""
    found = [one for one in e.interference if e.baseline.began <= one.at <= e.end]
    if not found:
        return None
    told = ", ".join(f"{one.what} ({one.at - e.baseline.began:.1f} s)" for one in found)
    return _no(e, f"not by the lab, since the watch began: {told}", Check.INTERFERENCE)


def _disrupted(e: Evidence) -> Unproven | None:
    match e.disruption:
        case None:
            return _no(e, "the disruption has no witness", Check.DISRUPTION)
        case DidNot(reason):
            return _no(e, f"the disruption did not happen: {reason}", Check.DISRUPTION)
        case Undisturbed():
            return None
        case Happened(what, at, done):
            if e.baseline.ended <= at <= done <= e.end:
                return None
            return _no(e, f"{what} was not within the watch", Check.DISRUPTION)


def _long_enough(e: Evidence) -> Unproven | None:
    done = e.disruption.done if isinstance(e.disruption, Happened) else e.baseline.began
    done = max([done, *(stop.ended for stop in e.stops)])
    left, needed = e.end - done, e.limits.patience + e.limits.closing
    if e.scope is Scope.MEMORY or left > needed:
        return None
    what = f"the watch went on for {left:.1f} s; up to {needed:.1f} s can miss a death"
    return _no(e, what, Check.WATCH)
