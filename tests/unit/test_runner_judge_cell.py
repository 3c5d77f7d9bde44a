# SPDX-License-Identifier: Apache-2.0
"""What ends a cell before it has a host: an expectation 'unavailable', another accelerator."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab.build.kernel import KernelImage
from lab.config.cell_request import CellRequest
from lab.config.model import (
    Accel,
    Arch,
    Confidential,
    DisruptionKind,
    HostMode,
    Options,
    Unavailable,
)
from lab.errors import InfraError, UnavailableError
from lab.host import kexec
from lab.record.files import load_document
from lab.record.model import CellRecord, EnvironmentRecord, Outcome
from lab.runner import judge_cell as judging
from lab.runner import retry
from lab.runner.judge_cell import judge_cell
from lab.runner.result import CellResult
from lab.runner.unavailable import probed
from lab.ssh.session import Result
from lab.verdict.verdict import Check, Lost, Survived, Verdict
from tests.support.one_host_pool import CELL, LAB, pool_on
from tests.support.records import ENVIRONMENT
from tests.support.simulated_cell import cell_of_an_orphan, simulated_pool


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a run."""
    (tmp_path / "cells").mkdir()
    return tmp_path


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
    assert record.turn is not None
    assert record.turn.worker == "main"
    assert record.turn.began < record.turn.ended


def test_a_cell_whose_kernel_lacks_an_option_has_a_record_that_names_it(
    folder: Path, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    config.write_text("CONFIG_KVM=y\n")
    pool = pool_on(Accel.KVM)
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
    outfit = SimpleNamespace(kernel=kernel, guest_kernel=kernel, words=())
    pool.lab_session.images = SimpleNamespace(outfit=lambda *_: outfit)
    cell = CellRequest(disruption=DisruptionKind.KEXEC).cell(LAB, accel=Accel.KVM)
    record, broke = judge_cell(pool, cell, folder, rerun="lab run X")
    assert (broke, record.outcome) == (None, Outcome.UNAVAILABLE)
    assert record.witness["probe"] == "configuration and version of kernel 'stock'"
    assert "'theirs' (6.12) has no CONFIG_KEXEC_FILE or CONFIG_KEXEC (loading" in record.first_cause


AWAY = CELL.model_copy(
    update={"expectation": Unavailable(reason="no machine has it", probe="grep snp /proc/cpuinfo")}
)


def test_an_unavailable_cell_keeps_what_its_probe_saw(folder: Path) -> None:
    pool = pool_on(Accel.KVM, answer=Result("c", 1, "", "no such flag\n"))
    record, broke = judge_cell(pool, AWAY, folder, rerun="lab run X", repeat=2)
    assert broke is None
    assert record.outcome is Outcome.UNAVAILABLE
    assert record.first_cause == "no machine has it; grep snp /proc/cpuinfo on a: status 1"
    assert record.witness == {
        "kind": "Probed",
        "probe": "grep snp /proc/cpuinfo on a",
        "saw": "no such flag\n\nstatus 1",
    }
    assert (record.rerun, record.repeat) == ("lab run X", 2)
    (written,) = (folder / "cells").iterdir()
    kept = load_document(written, CellRecord)
    assert kept.model_copy(update={"turn": None}) == record


@pytest.mark.parametrize("opened", [True, False])
def test_what_a_worker_knows_is_noted_once_it_has_opened_something(
    folder: Path, monkeypatch: pytest.MonkeyPatch, opened: bool
) -> None:
    (folder / "environment").mkdir()
    pool = pool_on(Accel.KVM, answer=Result("c", 1, "", ""))
    if opened:
        pool.lab_session.accelerators["x86_64"] = "kvm"
    monkeypatch.setattr(judging, "environment_of", lambda _: ENVIRONMENT)
    judge_cell(pool, AWAY, folder, rerun="lab run X", worker="gw1")
    noted = folder / "environment" / "gw1.json"
    assert noted.exists() is opened
    assert not opened or load_document(noted, EnvironmentRecord) == ENVIRONMENT


@pytest.mark.parametrize("status", [126, 127])
def test_a_probe_that_cannot_be_run_says_nothing(status: int) -> None:
    pool = pool_on(Accel.KVM, answer=Result("c", status, "", "sh: snp: not found"))
    with pytest.raises(InfraError, match="its topology could not be run"):
        probed(pool, CELL, Unavailable(reason="x", probe="snp"))


def test_a_cell_without_a_probe_is_not_unavailable(folder: Path) -> None:
    cell = AWAY.model_copy(update={"expectation": Unavailable(reason="no machine has it")})
    with pytest.raises(InfraError, match="there is no probe that could say so"):
        judge_cell(pool_on(Accel.KVM), cell, folder, rerun="lab run X")
    (written,) = (folder / "cells").iterdir()
    assert load_document(written, CellRecord).outcome is Outcome.ERROR


@pytest.mark.parametrize(
    ("verdict", "outcome"),
    [(Survived("it lives", Check.ALL), Outcome.XPASSED), (Lost("x", Check.SILENCE), "failed")],
)
def test_a_cell_that_its_probe_finds_available_is_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, verdict: Verdict, outcome: Outcome
) -> None:
    ran = CellResult(cell=AWAY, verdict=verdict)
    monkeypatch.setattr(judging, "attempted", lambda *_: ran)
    pool = pool_on(Accel.KVM, answer=Result("c", 0, "flags: snp", ""))
    record, _ = judge_cell(pool, AWAY, folder, rerun="lab run X")
    assert record.outcome == outcome


def test_what_is_available_and_cannot_be_started_is_the_labs_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cannot = UnavailableError("this lab cannot start it")
    monkeypatch.setattr(judging, "attempted", lambda *_: CellResult(cell=AWAY, broke=cannot))
    pool = pool_on(Accel.KVM, answer=Result("c", 0, "flags: snp", ""))
    record, broke = judge_cell(pool, AWAY, folder, rerun="lab run X")
    assert record.outcome is Outcome.ERROR
    assert "is available here (grep snp /proc/cpuinfo on a: flags: snp" in record.first_cause
    assert isinstance(broke, InfraError)


@pytest.mark.parametrize(
    ("offered", "available"), [(set(), False), ({"sev"}, False), ({"sev", "sev-snp"}, True)]
)
def test_domcapabilities_are_the_probe_of_sev_snp(offered: set[str], available: bool) -> None:
    cell = CELL.model_copy(update={"options": Options(confidential=Confidential.SEV_SNP)})
    connection = SimpleNamespace(uri="qemu:///x", launch_security=lambda _: offered)
    pool: Any = SimpleNamespace(lab_session=SimpleNamespace(connection=connection))
    found = probed(pool, cell, Unavailable(reason="why"))
    assert found.available is available
    assert found.saw == (", ".join(sorted(offered)) or "none")


@pytest.mark.parametrize(
    ("listed", "available"),
    [("memory-backend-memfd\niothread\n", False), ("iothread\npkvm-guest\n", True)],
)
def test_the_objects_of_qemu_are_the_probe_of_a_protected_one(listed: str, available: bool) -> None:
    cell = CELL.model_copy(update={"options": Options(confidential=Confidential.PKVM)})
    found = probed(
        pool_on(Accel.KVM, answer=Result("c", 0, listed, "")), cell, Unavailable(reason="x")
    )
    assert found.available is available
    said = "pkvm-guest" if available else "no object of pKVM's among those it lists"
    assert found.saw == f"{listed.strip()}\n{said}"
    assert found.probe == "qemu-system-x86_64 -object help on a"


@pytest.mark.parametrize(
    ("refused", "available"),
    [
        ("kexec_file_load failed: Operation not permitted", False),
        ("kexec_file_load failed: ENOSYS", False),
        ("kexec: Operation not permitted", False),
        ("", True),
    ],
)
def test_loading_a_kernel_is_the_probe_of_kexec_in_protected_mode(
    monkeypatch: pytest.MonkeyPatch, refused: str, available: bool
) -> None:
    def load(*_: object, **__: object) -> None:
        if refused:
            raise InfraError(refused)

    monkeypatch.setattr(kexec, "load", load)
    host = replace(CELL.request, arch=Arch.ARM64, mode=HostMode.PROTECTED)
    cell = CELL.model_copy(update={"request": host, "disruption": DisruptionKind.KEXEC})
    pool = pool_on(Accel.KVM)
    found = probed(pool, cell, Unavailable(reason="x"))
    assert found.available is available
    assert found.saw == (refused or "it was accepted")
    assert bool(pool.host.tainted) is available


def test_a_host_that_went_away_while_it_was_probed_says_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load(*_: object, **__: object) -> None:
        raise InfraError("a closed the connection")

    monkeypatch.setattr(kexec, "load", load)
    host = replace(CELL.request, arch=Arch.ARM64, mode=HostMode.PROTECTED)
    cell = CELL.model_copy(update={"request": host, "disruption": DisruptionKind.KEXEC})
    with pytest.raises(InfraError, match="closed the connection"):
        probed(pool_on(Accel.KVM), cell, Unavailable(reason="x"))


def test_a_host_that_cannot_be_is_not_booted_and_says_why(folder: Path) -> None:
    pool = pool_on(Accel.KVM)
    pool.lab_session.cpu_lacks = lambda _: "CPU model 'qemu64' has no nested paging"
    pool.lease = lambda _: pytest.fail("a host was booted")
    record, broke = judge_cell(pool, CELL, folder, rerun="lab run X")
    assert (record.outcome, broke) == (Outcome.UNAVAILABLE, None)
    assert record.first_cause == "CPU model 'qemu64' has no nested paging"
    assert record.witness["probe"] == "query-cpu-model-expansion of QEMU"
