# SPDX-License-Identifier: Apache-2.0
"""The lab's main job on real machines, in small: one verdict, and hosts that are not as asked."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.config.cell_request import CellRequest
from lab.config.host_request import HostRequest
from lab.config.load import load_lab
from lab.config.model import Accel, Arch, DisruptionKind, GuestKind, HostMode, VmmKind
from lab.errors import HostDiedError, InfraError
from lab.host.blueprint import Blueprint
from lab.host.host import booted
from lab.observe.identity import Happened
from lab.runner.lab_session import LabSession, opened
from lab.runner.pool import Pool
from lab.runner.retry import attempted
from lab.verdict.verdict import Check, Lost
from lab.virt.leftovers import ours

pytestmark = pytest.mark.vm

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def lab_session() -> Iterator[LabSession]:
    with opened(load_lab(CHECKOUT / "lab.toml")) as made:
        yield made


@pytest.fixture
def blueprint(lab_session: LabSession) -> Blueprint:
    request = HostRequest(
        topology="tests",
        role="a",
        arch=Arch.X86_64,
        kernel="stock",
        mode=HostMode.NATIVE,
        vcpus=2,
        memory_mib=1024,
    )
    patience = lab_session.lab.patience.model_copy(update={"boot": 40.0})
    return dataclasses.replace(
        lab_session.blueprint(request, f"host{time.monotonic_ns()}"), patience=patience
    )


def test_killed_vmm_is_lost_with_both_witnesses_and_no_leftovers(
    lab_session: LabSession, tmp_path: Path
) -> None:
    wanted = CellRequest(
        guest=GuestKind.SPINNER, vmm=VmmKind.LABVMM, disruption=DisruptionKind.VMM_KILL
    )
    cell = wanted.cell(lab_session.lab, accel=Accel.TCG)
    pool = Pool(lab_session)

    result = attempted(pool, cell, tmp_path)
    pool.close()

    assert result.broke is None
    assert isinstance(result.verdict, Lost)
    # A freed page keeps its last beat until somebody else writes to it: then it is nowhere.
    assert result.verdict.check in {Check.SILENCE, Check.NOWHERE}
    assert result.delivered is not None
    assert isinstance(result.delivered.witness, Happened)
    assert {"domain.xml", "host-console.log", "beats.json.gz"} <= {
        path.name for path in tmp_path.iterdir()
    }
    assert [m.name for m in ours(lab_session.connection) if m.run_id == lab_session.run_id] == []


def test_host_lost_during_boot_is_reported_with_its_console(
    lab_session: LabSession, blueprint: Blueprint
) -> None:
    gone = dataclasses.replace(blueprint, words=(*blueprint.words, "lab.poweroff=1"))

    with (
        pytest.raises(HostDiedError, match=r"(?s)did not come up.*LAB-INIT userland"),
        booted(lab_session.connection, gone, lab_session.sink),
    ):
        pass


def test_a_host_that_never_boots_is_told_with_its_last_words(
    lab_session: LabSession, blueprint: Blueprint
) -> None:
    stuck = dataclasses.replace(
        blueprint,
        words=(*blueprint.words, "rdinit=/no/such/init", "panic=0"),
        patience=blueprint.patience.model_copy(update={"boot": 15.0}),
    )

    with (
        pytest.raises(InfraError, match=r"(?s)did not come up.*its console ends with"),
        booted(lab_session.connection, stuck, lab_session.sink),
    ):
        pass


def test_host_without_working_kvm_is_refused_before_any_guest(
    lab_session: LabSession, blueprint: Blueprint
) -> None:
    without = dataclasses.replace(
        blueprint, words=(*blueprint.words, "initcall_blacklist=svm_init")
    )

    with (
        pytest.raises(InfraError, match="no KVM that can run a guest"),
        booted(lab_session.connection, without, lab_session.sink),
    ):
        pass
