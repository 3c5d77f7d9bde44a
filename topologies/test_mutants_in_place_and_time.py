# SPDX-License-Identifier: Apache-2.0
"""Guests that beat on elsewhere, or twice, or by a wrong clock: none of them is lost by silence.

All pages stay signed and chained. The search of the host's memory finds the one, and the clock of
L0 shows the other.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lab.config.model import Cell, DisruptionKind, GuestKind, Options, VmmKind, Watch
from lab.runner.pool import Pool
from lab.runner.result import CellResult
from lab.runner.retry import attempted
from lab.verdict.verdict import Check, Lost, Unproven

nightly = pytest.mark.tier("nightly")
# A mutant turns 7 s after its first beat; the eye is open from 1 to 5 s after that beat on.
_AFTER_MS = 7000
_SLOWER = "beacon.period_us=4000"  # a ring of its beats lasts longer than a loaded L0 looks away
_WATCH = Watch(baseline_s=1.0, patience_s=2.0, after_s=9.5)
_LONG_BASELINE = Watch(baseline_s=8.0, patience_s=2.0, after_s=4.0)

Tried = Callable[..., CellResult]


@pytest.fixture
def tried(cells: tuple[Cell, ...], pool: Pool, tmp_path: Path) -> Tried:
    """Return a function that runs a mutant under the stock kernel, and returns what came of it."""
    control = next(
        cell
        for cell in cells
        if cell.topology == "x86_64-one-host"
        and cell.disruption is DisruptionKind.NONE
        and cell.vmm is VmmKind.LABVMM
    )

    def run(mutant: str, watch: Watch = _WATCH, **changes: object) -> CellResult:
        cell = control.model_copy(update={"guest": GuestKind.SPINNER, **changes})
        result = attempted(pool, cell, tmp_path, watch=watch, words=(_SLOWER, f"mutant={mutant}"))
        if result.broke:
            raise result.broke
        return result

    return run


@pytest.mark.parametrize(
    "kind", [GuestKind.SPINNER, pytest.param(GuestKind.LINUX, marks=nightly)], ids=str
)
@pytest.mark.parametrize(("mutant", "check"), [("move", Check.PAGE), ("split", Check.SPLIT_BRAIN)])
def test_a_guest_on_another_page_is_found(
    tried: Tried, kind: GuestKind, mutant: str, check: Check
) -> None:
    result = tried(f"{mutant}:{_AFTER_MS}", guest=kind)

    assert isinstance(result.verdict, Unproven), result.verdict
    assert result.verdict.check is check, result.verdict.reason
    assert result.facts["live_copies"] == 1
    assert ("found_at" in result.facts) is (mutant == "move")  # and was watched on there


@nightly
@pytest.mark.parametrize(
    ("mutant", "checks"),
    [
        (f"still:{_AFTER_MS}", {Check.CLOCK_RATE, Check.CLOCK_STEP}),
        (f"slow:{_AFTER_MS}", {Check.CLOCK_RATE, Check.CLOCK_STEP}),
        (f"ahead:{_AFTER_MS}:500", {Check.CLOCK_RATE, Check.CLOCK_STEP}),
        (f"back:{_AFTER_MS}:500", {Check.CLOCK}),
    ],
)
def test_a_wrong_clock_is_no_survival(tried: Tried, mutant: str, checks: set[Check]) -> None:
    verdict = tried(mutant).verdict

    assert isinstance(verdict, Lost), verdict
    assert verdict.check in checks, verdict.reason


@nightly
@pytest.mark.parametrize(
    ("mutant", "checks"),
    [
        ("chain", {Check.CHAIN}),
        ("restart", {Check.RESTART}),
        ("rewind", {Check.REWIND, Check.CHAIN}),
        ("ram", {Check.RAM}),
    ],
)
def test_harm_in_the_baseline_is_seen_and_not_laid_to_the_disruption(
    tried: Tried, mutant: str, checks: set[Check]
) -> None:
    struck = {"disruption": DisruptionKind.VCPU_STOP, "options": Options(stop_ms=250)}
    verdict = tried(f"{mutant}:{_AFTER_MS}", watch=_LONG_BASELINE, **struck).verdict

    assert isinstance(verdict, Unproven), verdict
    assert verdict.check in checks, verdict.reason
    assert verdict.reason.startswith("before the disruption, "), verdict.reason
