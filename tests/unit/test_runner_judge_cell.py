# SPDX-License-Identifier: Apache-2.0
"""What ends a cell before it has a host: an expectation 'unavailable', another accelerator."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab.build.kernel import KernelImage
from lab.config.cell_request import CellRequest
from lab.config.model import Accel, DisruptionKind, LabConfig, Unavailable
from lab.errors import InfraError
from lab.record.files import load_document
from lab.record.model import CellRecord, Outcome
from lab.runner import retry
from lab.runner.judge_cell import judge_cell
from tests.support.simulated_cell import cell_of_an_orphan, simulated_pool

LAB = LabConfig.model_validate({"kernel": {"stock": {"recipe": "stock"}}})
CELL = CellRequest(disruption=DisruptionKind.VMM_KILL).cell(LAB, accel=Accel.KVM)


def pool_on(accel: Accel) -> Any:
    lab_session = SimpleNamespace(
        accelerators={}, accelerator=lambda *_: SimpleNamespace(accel=accel)
    )
    return SimpleNamespace(lab_session=lab_session)


def test_a_cell_is_not_run_on_another_accelerator_than_its_id_names(tmp_path: Path) -> None:
    (tmp_path / "cells").mkdir()
    with pytest.raises(InfraError, match="names accelerator kvm, but hosts run on tcg here"):
        judge_cell(pool_on(Accel.TCG), CELL, tmp_path, rerun="lab run X")
    (written,) = (tmp_path / "cells").iterdir()
    assert load_document(written, CellRecord).first_cause.startswith("InfraError: ")


@pytest.mark.parametrize("error", [KeyError("seq"), OSError("no space"), InfraError("no virt")])
def test_an_error_in_the_lab_is_on_record(
    error: Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(retry, "run_cell", broken)
    (tmp_path / "cells").mkdir()
    pool, cell = simulated_pool(monkeypatch, tmp_path), cell_of_an_orphan()
    if isinstance(error, InfraError):
        assert judge_cell(pool, cell, tmp_path, rerun="lab run X")[1] is error
    else:
        with pytest.raises(type(error)):
            judge_cell(pool, cell, tmp_path, rerun="lab run X")
    host = pool.detach()
    assert host is not None
    assert host.tainted
    (written,) = (tmp_path / "cells").iterdir()
    record = load_document(written, CellRecord)
    assert record.outcome is Outcome.ERROR
    assert record.first_cause == f"{type(error).__name__}: {error}"
    assert [label for label, _ in record.phases] == ["host"]


def test_a_cell_whose_kernel_lacks_an_option_has_a_record_that_names_it(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("CONFIG_KVM=y\n")
    pool = pool_on(Accel.KVM)
    (tmp_path / "cells").mkdir()
    kernel = KernelImage(
        name="theirs",
        arch="x86_64",
        image=tmp_path,
        vmlinux=tmp_path,
        config=config,
        release="6.12",
        build_id="",
        digest="",
        source="",
    )
    outfit = SimpleNamespace(kernel=kernel, guest_kernel=kernel)
    pool.lab_session.images = SimpleNamespace(outfit=lambda *_: outfit)
    cell = CellRequest(disruption=DisruptionKind.KEXEC).cell(LAB, accel=Accel.KVM)
    record, broke = judge_cell(pool, cell, tmp_path, rerun="lab run X")
    assert (broke, record.outcome) == (None, Outcome.UNAVAILABLE)
    assert "'theirs' (6.12) has no CONFIG_KEXEC and no CONFIG_KEXEC_FILE" in record.first_cause


def test_an_unavailable_cell_has_a_record_and_no_host(tmp_path: Path) -> None:
    cell = CELL.model_copy(update={"expectation": Unavailable(reason="no machine has it")})
    (tmp_path / "cells").mkdir()
    record, broke = judge_cell(pool_on(Accel.TCG), cell, tmp_path, rerun="lab run X", repeat=2)
    assert broke is None
    assert record.outcome is Outcome.UNAVAILABLE
    assert record.first_cause == "no machine has it"
    assert (record.rerun, record.repeat) == ("lab run X", 2)
    (written,) = (tmp_path / "cells").iterdir()
    assert load_document(written, CellRecord) == record
    assert list(tmp_path.iterdir()) == [tmp_path / "cells"]
