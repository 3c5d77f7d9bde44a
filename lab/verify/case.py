# SPDX-License-Identifier: Apache-2.0
"""All that a cell was judged by, as one frozen value; and what is made of it; pure.

A cell's record and `lab verify` both rest on `judged`, and on a case that was read from its file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lab.config.enums import DisruptionKind
from lab.observe.eye import Mark, Sight
from lab.observe.relink import unlinked
from lab.observe.window import Window
from lab.record.model import Scalar
from lab.verdict.calibration import calibration
from lab.verdict.evidence import Evidence
from lab.verdict.judge import judge_through
from lab.verdict.problem import Problem, ProblemKind
from lab.verdict.verdict import Check, Verdict

_LATE_S = 0.15  # a ring holds 191 beats, of a millisecond each
_NS = 1_000_000_000
_MS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What one cell was judged by; whatever is not in it was not known.

    Attributes:
        cell: The cell's id.
        disruption: What the cell does to the guest.
        key: The key of the guest's beacon: with it, its links can be hashed again.
        evidence: What is known of the guest.
        resumed: The stretch from its resumption on; None if it was not stopped.
        why: What it had been stopped for.
        done: What else the disruption told.
        facts: What else was seen.
        problems: What is wrong beside the verdict, in the order in which it was found.
        sight: How good the eye was.
        marks: When the phases of the cell began.
    """

    cell: str
    disruption: DisruptionKind
    key: bytes
    evidence: Evidence
    resumed: Window | None = None
    why: str = ""
    done: Mapping[str, Scalar]
    facts: Mapping[str, Scalar]
    problems: tuple[Problem, ...] = ()
    sight: Sight
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True)
class Judged:
    """What a case comes to.

    Attributes:
        verdict: What the judge says.
        facts: What was seen, and what follows from it.
        problems: What is wrong beside the verdict, and what follows from it.
    """

    verdict: Verdict
    facts: Mapping[str, Scalar]
    problems: tuple[Problem, ...]


def judged(case: Case) -> Judged:
    """Judge a case.

    Args:
        case: What the cell is judged by; nothing else is looked at.

    Returns:
        The verdict, and all that follows from it.
    """
    verdict = judge_through(case.evidence, case.resumed, case.why)
    found = tuple(measured(case.disruption, case.done, verdict))
    problems = [*case.problems, *late(case.sight, verdict), *broken_links(case)]
    problems += [problem for _, _, each in found for problem in each]
    return Judged(verdict, {**case.facts, **{n: said for n, said, _ in found}}, tuple(problems))


def late(sight: Sight, verdict: Verdict) -> Iterator[Problem]:
    """Find a ring that overran because L0 looked late: nothing in L1 can hold up a look.

    Args:
        sight: How good the eye was.
        verdict: What the judge said.

    Yields:
        That the experiment is void, if it is.
    """
    if verdict.check is Check.OVERRUN and sight.longest_s > _LATE_S:
        apart = f"two looks were {sight.longest_s * 1000:.0f} ms apart"
        yield Problem(ProblemKind.VOID, apart)


def measured(
    disruption: DisruptionKind, done: Mapping[str, Scalar], verdict: Verdict
) -> Iterator[tuple[str, str, tuple[Problem, ...]]]:
    """Compare the silence that was measured with the stop that made it, as L1 measured that.

    Args:
        disruption: What was done: only a stop of known length is compared.
        done: What it told: `stop_inner_ms` and `stop_outer_ms`.
        verdict: What the judge said.

    Yields:
        For each vCPU the name of a fact, the fact, and what is wrong with it.
    """
    if disruption is not DisruptionKind.VCPU_STOP:
        return
    inner, outer = (int(float(done[k] or 0) * _MS) for k in ("stop_inner_ms", "stop_outer_ms"))
    for vcpu in verdict.figures.vcpus:
        found = calibration(int(vcpu.guest_gap_s * _NS), inner, outer)
        problems = []
        if not found.right and not found.off_ns:
            problems.append(Problem(ProblemKind.VOID, found.reason))
        if not found.right:
            what = f"calibration, vCPU {vcpu.vcpu}: {found.reason}"
            problems.append(Problem(ProblemKind.FIGURES, what))
        yield f"calibration_vcpu{vcpu.vcpu}", found.reason, tuple(problems)


def broken_links(case: Case) -> Iterator[Problem]:
    """Hash the beats again that the eye believed.

    Args:
        case: The trails, and the key.

    Yields:
        A problem of the lab's for each vCPU whose beats are not linked.
    """
    for n, trail in sorted(case.evidence.trails.items()):
        if (beat := unlinked(trail, case.key)) is not None:
            what = f"the evidence of vCPU {n} is not linked up to beat {beat}"
            yield Problem(ProblemKind.FIGURES, what)
