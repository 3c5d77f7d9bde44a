# SPDX-License-Identifier: Apache-2.0
"""The oracle, and the only place that says Survived: evidence in, verdict out; pure.

The checks stand in the order of `_CHECKS`, and the first that has something to say is the
verdict: evidence before identity, identity before progress, what is proven before what is not.
Only that L0 itself stood still waits for the others: whoever is told so may do it all again, and
a loss that is proven must not be lost in that.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

from lab.observe.identity import Happened
from lab.observe.trail import Anomaly, Kind, Trail
from lab.observe.window import Window
from lab.verdict.admissible import admissible
from lab.verdict.evidence import Evidence
from lab.verdict.figures import figures_of
from lab.verdict.memory_checks import each, memory, seen_after
from lab.verdict.silence import Silence, beats, last_seen, longest_gap, silences
from lab.verdict.verdict import Check, Figures, Lost, Parked, Scope, Survived, Unproven, Verdict

_Checks = Callable[[Evidence], Verdict | None]
_IDENTITY = frozenset({Kind.CANARY, Kind.RESTART, Kind.REWIND, Kind.CHAIN})
_HARM = frozenset({Kind.CLOCK, Kind.FAULTS})


def judge(evidence: Evidence) -> Verdict:
    """Say what became of the guest, and which check says so."""
    refused = admissible(evidence)
    if refused and refused.check is Check.EVIDENCE:
        return refused
    figures = figures_of(evidence)
    if refused:
        return Unproven(refused.reason, refused.check, evidence.scope, figures)
    checks = _CHECKS if evidence.scope is Scope.RUNNING else _MEMORY_CHECKS
    if found := _first(evidence, checks):
        return type(found)(found.reason, found.check, evidence.scope, figures)
    if evidence.scope is Scope.MEMORY:
        return Survived("its memory is the same", Check.MEMORY, Scope.MEMORY, figures)
    return Survived(_story(evidence, figures), Check.ALL, Scope.RUNNING, figures)


def _first(e: Evidence, checks: Iterable[_Checks]) -> Verdict | None:
    stalled: Verdict | None = None
    for check in checks:
        found = check(e)
        if found and found.check is Check.JITTER:
            stalled = stalled or found
        elif found:
            return found if isinstance(found, Lost) else stalled or found
    return stalled


def _story(evidence: Evidence, figures: Figures) -> str:
    most = max(vcpu.silence_most_s for vcpu in figures.vcpus)
    done = figures.disruption or "nothing was done to it"
    beaten = sum(vcpu.beats for vcpu in figures.vcpus)
    return (
        f"the same guest beat on to the end on {evidence.expected_vcpus} vCPU "
        f"({done}; {beaten} beats, never silent for more than {most:.3f} s)"
    )


def _found(e: Evidence, kinds: frozenset[Kind]) -> Iterator[tuple[str, Trail, Anomaly]]:
    for who, trail in each(e):
        for anomaly in trail.anomalies:
            if anomaly.kind in kinds and e.baseline.began <= anomaly.at <= e.end:
                yield who, trail, anomaly


def _baseline(e: Evidence) -> Verdict | None:
    for who, trail in each(e):
        if beats(trail, e.baseline) < 2:  # noqa: PLR2004 - one beat is no progress
            return Unproven(f"{who} did not beat before the disruption", Check.BASELINE)
        if trail.nvcpus != e.expected_vcpus:
            what = f"the guest says that it has {trail.nvcpus} vCPUs, not {e.expected_vcpus}"
            return Unproven(what, Check.BASELINE)
    return None


def _early(e: Evidence, who: str, trail: Trail) -> Unproven | None:
    """Nothing is lost by a disruption that finds the guest silent already."""
    if not isinstance(e.disruption, Happened):
        return None
    seen = last_seen(trail, e.struck)
    if seen is not None and e.struck - seen <= e.limits.live:
        return None
    return Unproven(f"{who} was not seen alive when it was struck", Check.EARLY)


def _anomalous(e: Evidence, kinds: frozenset[Kind]) -> Verdict | None:
    found = sorted(_found(e, kinds), key=lambda f: f[2].at)
    for who, trail, anomaly in found:
        check = Check(anomaly.kind.value)
        if anomaly.at < e.struck:
            return Unproven(f"before the disruption, {who}: {anomaly.what}", check)
        return _early(e, who, trail) or Lost(f"{who}: {anomaly.what}", check)
    return None


def _identity(e: Evidence) -> Verdict | None:
    if found := _anomalous(e, _IDENTITY):
        return found
    boots = {trail.boot_id for trail in e.trails.values()}
    if len(boots) > 1:
        return Unproven("the vCPUs' beacons are of different boots", Check.IDENTITY)
    return None


def _harmed(e: Evidence) -> Verdict | None:
    return _anomalous(e, _HARM)


def _overrun(e: Evidence) -> Verdict | None:
    for who, trail, anomaly in _found(e, frozenset({Kind.OVERRUN})):
        before = bisect_left(trail.clear_ended, anomaly.at) - 1
        began = trail.clear_began[before] if before >= 0 else e.baseline.began
        blame = Check.JITTER if _stalled(e, Window(began, anomaly.at)) > 0 else Check.OVERRUN
        return Unproven(f"looks were too rare for {who}: {anomaly.what}", blame)
    return None


def _parked(e: Evidence) -> Verdict | None:
    if e.parked is None:
        return None
    for who, trail in each(e):
        *_, ending = silences(trail, e.window)
        if ending.least <= e.limits.closing:
            saw = f"{who} beats" if ending.most <= e.limits.closing else f"{who} was out of sight"
            what = f"the caretaker says that the guest is parked ({e.parked.why}), and {saw}"
            return Unproven(what, Check.PARKED)
        if found := _early(e, who, trail) or _elsewhere(who, trail, ending):
            return found
    return Parked(f"the caretaker holds it: {e.parked.why}", Check.PARKED)


def _elsewhere(who: str, trail: Trail, silence: Silence) -> Unproven | None:
    if any(silence.by < at <= silence.over for at in trail.moves):
        return Unproven(f"{who} never beat on the page that was watched in the end", Check.PAGE)
    return None


def _stalled(e: Evidence, stretch: Window) -> float:
    return sum(stretch.overlap(void) for void in e.voids)


def _when(e: Evidence, silence: Silence) -> str:
    to = "to the end of the watch" if silence.last else "and then beat on"
    if not isinstance(e.disruption, Happened):
        return to
    return f"from {silence.by - e.struck:+.1f} s after {e.disruption.what} {to}"


def _silence(e: Evidence) -> Verdict | None:
    doubt: Verdict | None = None
    for who, trail in each(e):
        for silence in silences(trail, e.window):
            if silence.least > e.limits.patience:
                found = _silent(e, who, trail, silence)
                if isinstance(found, Lost):
                    return found
                doubt = doubt or found
    return doubt


def _silent(e: Evidence, who: str, trail: Trail, silence: Silence) -> Verdict:
    what = f"{who} was silent for {silence.least:.1f} s {_when(e, silence)}"
    if silence.by < e.struck - e.limits.live:
        return Unproven(f"{what}: that began before", Check.EARLY)
    if silence.least - _stalled(e, silence.proven) <= e.limits.patience:
        return Unproven(f"{what}, and L0 itself stood still then", Check.JITTER)
    limit = f"; {e.limits.patience:.1f} s is the limit"
    return _elsewhere(who, trail, silence) or Lost(what + limit, Check.SILENCE)


def _guest_silence(e: Evidence) -> Verdict | None:
    for who, trail in each(e):
        gap = longest_gap(trail, e.window)
        if gap.ns <= e.limits.patience * 1e9:
            continue
        what = f"{who} was silent for {gap.ns / 1e9:.1f} s of its own clock"
        if gap.by < e.struck:
            return Unproven(f"{what} before the disruption", Check.EARLY)
        stretch = Window(gap.by - gap.ns / 1e9, gap.by)
        if gap.ns / 1e9 - _stalled(e, stretch) <= e.limits.patience:
            return Unproven(f"{what}, and L0 itself stood still then", Check.JITTER)
        return Lost(f"{what}; {e.limits.patience:.1f} s is the limit", Check.GUEST_SILENCE)
    return None


def _host_died(e: Evidence, who: str, trail: Trail) -> Verdict | None:
    death = e.host_death
    if death is None or not e.struck <= death.at <= e.end:
        return None
    seen = last_seen(trail, death.at)
    if seen is not None and death.at - seen <= e.limits.live:
        return Lost(f"{who} was alive when its host died: {death.what}", Check.HOST)
    if not isinstance(e.disruption, Happened):
        return Unproven(f"{who} was not seen alive when its host died", Check.EARLY)
    return _early(e, who, trail) or Lost(f"{who}: its host died: {death.what}", Check.HOST)


def _path(e: Evidence) -> Verdict | None:
    for who, trail in each(e):
        clear = bisect_right(trail.clear_ended, e.end)
        if clear and e.end - trail.clear_began[clear - 1] <= e.limits.closing:
            continue
        if found := _host_died(e, who, trail):
            return found
        why = trail.blinds[-1].reason if trail.blinds else "the eye was shut"
        if e.nowhere:
            what = f"{who}: {why}, and its canary is nowhere in the memory of its host"
            return _early(e, who, trail) or Lost(what, Check.NOWHERE)
        return Unproven(f"the path to {who} was lost: {why}", Check.PATH)
    return None


def _too_few(e: Evidence, trail: Trail, silence: Silence) -> Check:
    """Tell an eye that was kept from looking by L0 from one that looked and could not see."""
    stretch = Window(silence.after, silence.over)
    blind = any(
        stretch.overlap(Window(b.began, e.end if b.ended is None else b.ended)) > 0
        for b in trail.blinds
    )
    late = silence.most - _stalled(e, stretch) <= e.limits.patience
    return Check.JITTER if late and not blind else Check.EYE


def _ending(e: Evidence) -> Verdict | None:
    for who, trail in each(e):
        for silence in silences(trail, e.window):
            if silence.most > e.limits.patience:
                what = f"{who} may have been silent for {silence.most:.1f} s"
                return Unproven(f"{what}: too few looks to tell", _too_few(e, trail, silence))
            if silence.last and silence.most > e.limits.closing:
                what = f"{who} was silent for the last {silence.most:.1f} s"
                return Unproven(f"{what}: watch on to know", Check.END)
    return None


def _own_count(e: Evidence) -> Verdict | None:
    """The guest measures its longest gap itself; an unbroken trail must show the same."""
    for who, trail in each(e):
        owns = [own for own in trail.owns if own.at <= e.end]
        gap = longest_gap(trail, e.window).ns
        rises = [
            b.max_gap_ns
            for a, b in pairwise(owns)
            if b.at > e.baseline.began and b.max_gap_ns > a.max_gap_ns
        ]
        own = owns[-1].max_gap_ns if owns else 0
        if gap > own or (rises and max(rises) > gap):
            what = f"{who} counts {own / 1e9:.3f} s as its longest gap, its beats {gap / 1e9:.3f} s"
            return Unproven(what, Check.OWN_COUNT)
    return None


def _eye(e: Evidence) -> Verdict | None:
    if e.outside_eye:
        return None
    return Unproven("L1-witnessed: nobody outside of the host saw it survive", Check.EYE)


_CHECKS: tuple[_Checks, ...] = (
    _baseline,
    _identity,
    _parked,
    _silence,
    _path,
    _overrun,
    _guest_silence,
    _harmed,
    _ending,
    _own_count,
    memory,
    _eye,
)
_MEMORY_CHECKS: tuple[_Checks, ...] = (
    lambda e: _baseline(e) if e.expected_vcpus else None,
    _identity,
    memory,
    seen_after,
    _eye,
)
