# SPDX-License-Identifier: Apache-2.0
"""What speaks against the figures of a cell that is judged: late looks, a stop mismeasured; pure.

Nothing in L1 can hold up a look, so looks that were far apart are L0's fault.
"""

from __future__ import annotations

from dataclasses import dataclass

from lab.config.model import Cell, DisruptionKind
from lab.disruption.delivered import Delivered
from lab.runner.result import Facts
from lab.runner.settling import Settled
from lab.verdict.calibration import calibration
from lab.verdict.problem import Problem, ProblemKind
from lab.verdict.verdict import Check

_LATE_S = 0.15  # a ring holds 191 beats, of a millisecond each
_MS = 1_000_000
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Doubts:
    """What was found, as facts for the record and as problems."""

    facts: Facts
    problems: tuple[Problem, ...]


def doubts(cell: Cell, delivered: Delivered, settled: Settled) -> Doubts:
    """Look whether L0 looked late, and compare a silence with the stop as L1 measured it.

    Args:
        cell: What was run.
        delivered: What was done to the guest.
        settled: How it was judged.
    """
    facts: dict[str, str] = {}
    problems = []
    apart = settled.found.sight.longest_s
    if settled.verdict.check is Check.OVERRUN and apart > _LATE_S:
        problems.append(Problem(ProblemKind.VOID, f"two looks were {apart * 1000:.0f} ms apart"))
    if cell.disruption is DisruptionKind.VCPU_STOP:
        inner, outer = (
            int(float(delivered.facts[k]) * _MS) for k in ("stop_inner_ms", "stop_outer_ms")
        )
        for vcpu in settled.verdict.figures.vcpus:
            found = calibration(int(vcpu.guest_gap_s * _NS), inner, outer)
            facts[f"calibration_vcpu{vcpu.vcpu}"] = found.reason
            if not found.right and not found.off_ns:
                problems.append(Problem(ProblemKind.VOID, found.reason))
            if not found.right:
                told = f"calibration, vCPU {vcpu.vcpu}: {found.reason}"
                problems.append(Problem(ProblemKind.FIGURES, told))
    return Doubts(facts, tuple(problems))
