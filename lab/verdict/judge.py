# SPDX-License-Identifier: Apache-2.0
"""The oracle, and the only place that says Survived: evidence in, verdict out; pure.

The checks stand in the order of `_CHECKS`, and the first that has something to say is the
verdict: evidence before identity, identity before progress, what is proven before what is not.
Only that L0 itself stalled waits for the others: such a cell is run again, and a loss that is
proven must not be lost in that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from lab.observe.window import Window
from lab.verdict.admissible import admissible
from lab.verdict.evidence import Evidence, Stop
from lab.verdict.figures import figures_of
from lab.verdict.identity_checks import baseline, harmed, identity, overrun
from lab.verdict.memory_checks import memory, seen_after
from lab.verdict.pace_checks import clock, rewind
from lab.verdict.path_checks import one_copy, outside_eye, path, tallies
from lab.verdict.ram_checks import ram
from lab.verdict.silence_checks import ending, guest_silent, own_count, parked, silent
from lab.verdict.verdict import Check, Figures, Lost, Parked, Scope, Survived, Unproven, Verdict

_Checks = Callable[[Evidence], Verdict | None]


def judge(evidence: Evidence) -> Verdict:
    """Judge what became of the guest.

    Args:
        evidence: Everything that is known of it.

    Returns:
        The verdict, with the check that it rests on, its reason and the figures.
    """
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
    if evidence.parked:
        why = f"the caretaker has parked it: {evidence.parked.why}"
        return Parked(why, Check.PARKED, Scope.RUNNING, figures)
    return Survived(_story(evidence, figures), Check.ALL, Scope.RUNNING, figures)


def judge_resumed(evidence: Evidence, stretch: Window, why: str) -> Verdict:
    """Judge a guest that was resumed by the whole watch, to the end of `stretch`.

    Nothing of the watch before is left out: only the silence until `stretch` begins is excused.

    Args:
        evidence: What is known of the guest up to its resumption, and what was seen since.
        stretch: From when it was resumed, to the end of the watch.
        why: What it had been stopped for.

    Returns:
        The verdict, of scope `running`.
    """
    stop = Stop(min(evidence.first_touched, stretch.began), stretch.began, why)
    return judge(
        replace(
            evidence,
            end=stretch.ended,
            scope=Scope.RUNNING,
            memory=None,
            parked=None,
            stops=(*evidence.stops, stop),
        )
    )


def judge_through(evidence: Evidence, resumed: Window | None, why: str) -> Verdict:
    """Judge a guest, and if it was resumed during the watch, what it was from then on.

    Args:
        evidence: What is known of it.
        resumed: From when it was resumed, to the end of the watch; None if it never was stopped.
        why: What it had been stopped for.

    Returns:
        The verdict on the guest before it was resumed, unless it did not go on as itself.
    """
    found = judge(evidence)
    if resumed is None or not isinstance(found, Survived | Parked):
        return found
    after = judge_resumed(evidence, resumed, why)
    if isinstance(after, Survived):
        return found
    reason = f"after it was resumed: {after.reason}"
    return type(after)(reason, after.check, found.scope, after.figures)


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
    searched = evidence.search is not None and evidence.search.whole
    copies = "no second copy of it beats" if searched else "a second copy was not looked for"
    missed = max(figures.vcpus, key=lambda vcpu: vcpu.rewind_s)
    return (
        f"the same guest beat on to the end on {evidence.expected_vcpus} vCPU "
        f"({done}; {beaten} beats, never silent for more than {most:.3f} s; a rewind of more than "
        f"{missed.rewind_beats} beats or {missed.rewind_s * 1000:.0f} ms would have been seen; "
        f"{_ram(figures)}; {copies})"
    )


def _ram(figures: Figures) -> str:
    if figures.ram_mib is None:
        return "it verifies none of its RAM"
    return f"it verified {figures.ram_mib:.2f} MiB of its RAM since"


_CHECKS: tuple[_Checks, ...] = (
    baseline,
    identity,
    harmed,
    parked,
    silent,
    path,
    one_copy,
    overrun,
    guest_silent,
    clock,
    ending,
    rewind,
    own_count,
    ram,
    memory,
    outside_eye,
    tallies,
)
_MEMORY_CHECKS: tuple[_Checks, ...] = (
    baseline,
    identity,
    harmed,
    memory,
    seen_after,
    one_copy,
    outside_eye,
    tallies,
)
