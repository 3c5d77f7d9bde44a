# SPDX-License-Identifier: Apache-2.0
"""What decides is calibrated: a stop just below the limit is lived through, one above it is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lab.config.model import Cell, DisruptionKind, GuestKind, Options, VmmKind, Watch
from lab.runner.pool import Pool
from lab.runner.retry import attempted
from lab.verdict.verdict import Check, Lost, Survived, Verdict

BELOW, ABOVE = (0.5, 0.9), (1.1, 1.5)
SILENT = {Check.SILENCE, Check.GUEST_SILENCE}
QUICK = Watch(baseline_s=1.0, patience_s=2.0, after_s=3.2)
both = pytest.mark.twin(itself="guests that are stopped for longer are lost in the same test")

Stopped = Callable[[GuestKind, float, Watch], Verdict]


@pytest.fixture
def stopped(
    cells: tuple[Cell, ...],
    pool: Pool,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> Stopped:
    """Return a function that stops a guest for a share of the limit, and returns the verdict."""
    control = next(
        cell
        for cell in cells
        if cell.topology == "x86_64-one-host"
        and cell.disruption is DisruptionKind.NONE
        and cell.vmm is VmmKind.LABVMM
    )

    def stop(kind: GuestKind, share: float, watch: Watch) -> Verdict:
        limit_ms = watch.patience_s * 1000
        changes = {
            "guest": kind,
            "disruption": DisruptionKind.VCPU_STOP,
            "options": Options(stop_ms=round(share * limit_ms)),
        }
        result = attempted(pool, control.model_copy(update=changes), tmp_path, watch=watch)
        if result.broke:
            raise result.broke
        assert result.verdict is not None
        assert result.delivered is not None
        detection = {
            "guest": kind.value,
            "vmm": VmmKind.LABVMM.value,
            "stop_ms": round(float(result.delivered.facts["stop_inner_ms"]), 3),
            "limit_ms": limit_ms,
            "verdict": type(result.verdict).__name__,
            "check": result.verdict.check.value,
            "reason": result.verdict.reason,
        }
        record_property("detection", detection)
        return result.verdict

    return stop


@both
def test_ten_per_cent_decide_by_a_short_limit(stopped: Stopped) -> None:
    insist_sharp(stopped, GuestKind.SPINNER, (0.9,), (1.1,), QUICK)


@both
@pytest.mark.tier("nightly")  # a minute each
@pytest.mark.parametrize("kind", list(GuestKind))
def test_ten_per_cent_decide(stopped: Stopped, pool: Pool, kind: GuestKind) -> None:
    insist_sharp(stopped, kind, BELOW, ABOVE, pool.lab_session.lab.watch)


def insist_sharp(
    stopped: Stopped,
    kind: GuestKind,
    below: tuple[float, ...],
    above: tuple[float, ...],
    watch: Watch,
) -> None:
    """Stop a guest for shares of the limit; all are tried before one is complained of."""
    verdicts = {share: stopped(kind, share, watch) for share in (*below, *above)}
    for share, found in verdicts.items():
        told = f"stopped for {share:.0%} of the limit: {found.reason}"
        if share in below:
            assert isinstance(found, Survived), told
        else:
            assert isinstance(found, Lost), told
            assert found.check in SILENT, told
