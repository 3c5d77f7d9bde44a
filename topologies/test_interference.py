# SPDX-License-Identifier: Apache-2.0
"""A host that another client of libvirt paused proves nothing; what the lab does is its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lab.config.model import Cell, DisruptionKind, Options, VmmKind, Watch
from lab.deadline import pause
from lab.disruption.delivered import Delivered
from lab.guest.guest import RunningGuest
from lab.guest.vmms.protocol import Vmm
from lab.observe.identity import Undisturbed
from lab.runner.pool import Pool
from lab.runner.retry import attempted
from lab.verdict.verdict import Check, Verdict
from lab.virt.connection import connect
from lab.virt.domain import Domain

pytestmark = pytest.mark.tier("nightly")
QUICK = Watch(baseline_s=1.0, patience_s=3.0, after_s=4.5)

Stop = Callable[[RunningGuest], None]


@pytest.fixture
def verdict_after(cells: tuple[Cell, ...], pool: Pool, tmp_path: Path) -> Callable[[Stop], Verdict]:
    """Return a function that watches a guest, does something to its host, and judges."""
    control = next(
        cell
        for cell in cells
        if cell.topology == "x86_64-one-host"
        and cell.disruption is DisruptionKind.NONE
        and cell.vmm is VmmKind.LABVMM
    )

    def run(stop: Stop) -> Verdict:
        def deed(guest: RunningGuest, _driver: Vmm, _options: Options) -> Delivered:
            stop(guest)
            return Delivered(Undisturbed(), guest)

        result = attempted(pool, control, tmp_path, watch=QUICK, deed=deed)
        if result.broke:
            raise result.broke
        assert result.verdict is not None
        return result.verdict

    return run


def test_a_host_that_another_client_paused_proves_nothing(
    verdict_after: Callable[[Stop], Verdict], pool: Pool
) -> None:
    def by_another(guest: RunningGuest) -> None:
        with connect(pool.lab_session.connection.uri) as other:
            machine = other.lookup(guest.host.domain.name)
            assert machine is not None
            stand(machine)

    found = verdict_after(by_another)
    assert found.check is Check.INTERFERENCE, found.reason
    assert "was paused (" in found.reason
    assert "was resumed (" in found.reason


def test_a_host_that_the_lab_paused_is_judged(verdict_after: Callable[[Stop], Verdict]) -> None:
    found = verdict_after(lambda guest: stand(guest.host.domain))
    assert found.check is not Check.INTERFERENCE, found.reason


def stand(machine: Domain) -> None:
    """Have a machine stand still for a moment."""
    machine.pause()
    pause(0.3)
    machine.resume()
