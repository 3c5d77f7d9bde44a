# SPDX-License-Identifier: Apache-2.0
"""A guest is not lost because its host was stopped, and one that may live on is seen to."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lab.config.cell_request import CellRequest
from lab.config.model import Accel, Cell, DisruptionKind, LabConfig, Options, Orphaning, VmmKind
from lab.errors import InfraError
from lab.host.health import insist_running
from lab.runner.guest_plan import beats_of

LAB = LabConfig.model_validate({"kernel": {"stock": {"recipe": "stock"}}})


def host(state: str) -> Any:
    return SimpleNamespace(role="a", domain=SimpleNamespace(state=lambda: state))


def test_a_host_that_runs_is_judged() -> None:
    insist_running(host("running"))


@pytest.mark.parametrize("state", ["paused", "off", "crashed", "gone"])
def test_host_paused_from_outside_proves_nothing(state: str) -> None:
    with pytest.raises(InfraError, match=f"a is {state}"):
        insist_running(host(state))


def cell(disruption: DisruptionKind, options: Options) -> Cell:
    made = CellRequest(vmm=VmmKind.LABVMM, disruption=disruption).cell(LAB, accel=Accel.TCG)
    return made.model_copy(update={"options": options})


@pytest.mark.parametrize(
    ("disruption", "options", "slower"),
    [
        (DisruptionKind.KEXEC, Options(orphaning=Orphaning.RESIDENT), True),
        (DisruptionKind.KEXEC, Options(), False),
        (DisruptionKind.VMM_KILL, Options(orphaning=Orphaning.ASYNC), False),
    ],
)
def test_only_what_may_run_through_a_kexec_beats_more_slowly(
    disruption: DisruptionKind, options: Options, slower: bool
) -> None:
    assert bool(beats_of(cell(disruption, options))) is slower
