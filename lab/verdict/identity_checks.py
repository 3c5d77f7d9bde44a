# SPDX-License-Identifier: Apache-2.0
"""The judge's checks of identity and harm, from the first look on; pure.

No stop excuses what is found here, and no look is left out: a guest that is parked or restored can
be rewound, restarted or stripped of its registers at the very moment at which it is resumed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from lab.observe.trail import Anomaly, Kind, Trail
from lab.observe.window import Window
from lab.verdict.alive import IDENTITY, early
from lab.verdict.evidence import Evidence
from lab.verdict.memory_checks import each
from lab.verdict.silence import beats
from lab.verdict.verdict import Check, Lost, Unproven, Verdict

_HARM = frozenset({Kind.CLOCK, Kind.FAULTS, Kind.RAM})


def baseline(e: Evidence) -> Verdict | None:
    """Require that each vCPU beat before the disruption, and that there are all of them."""
    for who, trail in each(e):
        if beats(trail, e.baseline) < 2:  # noqa: PLR2004 - one beat is no progress
            return Unproven(f"{who} did not beat before the disruption", Check.BASELINE)
        if trail.nvcpus != e.expected_vcpus:
            what = f"the guest says that it has {trail.nvcpus} vCPUs, not {e.expected_vcpus}"
            return Unproven(what, Check.BASELINE)
    return None


def identity(e: Evidence) -> Verdict | None:
    """Require one guest: canary, boot, order and chain of all beats seen."""
    if found := _anomalous(e, IDENTITY):
        return found
    boots = {trail.boot_id for trail in e.trails.values()}
    if len(boots) > 1:
        return Unproven("the vCPUs' beacons are of different boots", Check.IDENTITY)
    return None


def harmed(e: Evidence) -> Verdict | None:
    """Require that its clock never went back, it counted no fault, and its RAM is right."""
    for who, trail in each(e):
        if trail.owns and trail.owns[0].faults:
            what = f"{who} had counted {trail.owns[0].faults} faults when it was first seen"
            return Unproven(what, Check.FAULTS)
    return _anomalous(e, _HARM)


def overrun(e: Evidence) -> Verdict | None:
    """Find where looks were too rare for the ring of beats."""
    for who, trail, anomaly in _found(e, frozenset({Kind.OVERRUN})):
        if not e.baseline.began <= anomaly.at <= e.end:
            continue
        before = bisect_left(trail.clear_ended, anomaly.at) - 1
        began = trail.clear_began[before] if before >= 0 else e.baseline.began
        blame = Check.JITTER if e.stalled(Window(began, anomaly.at)) > 0 else Check.OVERRUN
        return Unproven(f"looks were too rare for {who}: {anomaly.what}", blame)
    return None


def _found(e: Evidence, kinds: frozenset[Kind]) -> Iterator[tuple[str, Trail, Anomaly]]:
    for who, trail in each(e):
        for anomaly in trail.anomalies:
            if anomaly.kind in kinds:
                yield who, trail, anomaly


def _anomalous(e: Evidence, kinds: frozenset[Kind]) -> Verdict | None:
    found = sorted(_found(e, kinds), key=lambda f: f[2].at)
    for who, trail, anomaly in found:
        check = Check(anomaly.kind.value)
        if anomaly.at < e.first_touched:
            return Unproven(f"before the disruption, {who}: {anomaly.what}", check)
        return early(e, who, trail) or Lost(f"{who}: {anomaly.what}", check)
    return None
