# SPDX-License-Identifier: Apache-2.0
"""A late look voids an overrun; a stop that was measured wrongly is an error, or void."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lab.config.cell_request import CellRequest
from lab.config.model import Accel, DisruptionKind, LabConfig
from lab.disruption.delivered import Delivered
from lab.observe.identity import Happened
from lab.runner.doubts import Doubts, doubts
from lab.verdict.problem import ProblemKind
from lab.verdict.verdict import Check, Figures, Survived, Unproven, Verdict

LAB = LabConfig.model_validate({"kernel": {"stock": {"recipe": "stock"}}})


def doubted(
    kind: DisruptionKind, verdict: Verdict, *, apart_s: float = 0.02, **facts: float
) -> Doubts:
    cell = CellRequest(disruption=kind).cell(LAB, accel=Accel.TCG)
    guest: Any = None
    sight = SimpleNamespace(longest_s=apart_s)
    settled: Any = SimpleNamespace(verdict=verdict, found=SimpleNamespace(sight=sight))
    return doubts(cell, Delivered(Happened("it", 1, 2), guest, facts), settled)


@pytest.mark.parametrize(
    ("check", "apart_s", "kinds"),
    [
        (Check.OVERRUN, 0.2, [ProblemKind.VOID]),
        (Check.OVERRUN, 0.1, []),
        (Check.PATH, 0.2, []),
    ],
)
def test_only_a_late_look_voids_only_an_overrun(
    check: Check, apart_s: float, kinds: list[ProblemKind]
) -> None:
    found = doubted(DisruptionKind.VMM_KILL, Unproven("no", check), apart_s=apart_s)
    assert [problem.kind for problem in found.problems] == kinds
    assert found.facts == {}


@pytest.mark.parametrize(
    ("inner", "outer", "kinds"),
    [
        (245.0, 255.0, []),
        (500.0, 510.0, [ProblemKind.FIGURES]),
        (100.0, 400.0, [ProblemKind.VOID, ProblemKind.FIGURES]),
    ],
)
def test_a_silence_is_compared_with_the_stop_that_made_it(
    inner: float, outer: float, kinds: list[ProblemKind]
) -> None:
    vcpu: Any = SimpleNamespace(vcpu=0, guest_gap_s=0.25)
    verdict = Survived("it beat on", Check.ALL, figures=Figures(vcpus=(vcpu,)))
    stop = {"stop_inner_ms": inner, "stop_outer_ms": outer}
    found = doubted(DisruptionKind.VCPU_STOP, verdict, **stop)
    assert [problem.kind for problem in found.problems] == kinds
    assert list(found.facts) == ["calibration_vcpu0"]
    assert doubted(DisruptionKind.VMM_KILL, verdict, **stop) == Doubts({}, ())
