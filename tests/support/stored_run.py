# SPDX-License-Identifier: Apache-2.0
"""A small run of simulated guests as it lies on disk: records, evidence, hash tree.

`python -m tests.support.stored_run` writes the one that is kept in tests/golden/record/verify.
"""

from __future__ import annotations

import base64
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from lab.config.enums import Scope
from lab.record import shards
from lab.record.files import write_document
from lab.record.model import (
    BootRecord,
    CellRecord,
    EnvironmentRecord,
    ExpectationRecord,
    Outcome,
    Provenance,
    RunHeader,
    RunRecord,
)
from lab.testing.simulated_guest import Rehearsal
from lab.verdict.evidence import Evidence
from lab.verify import evidence_file, manifest
from lab.verify.account import account
from lab.verify.case import judged
from lab.verify.plain_files import digest_of
from lab.verify.source import source_digest
from tests.support.evidence_files import case_of
from tests.support.guests_that_live_or_die import dies_at_once, lives_on

STORED = Path(__file__).parents[1] / "golden" / "record" / "verify"
_AS_TEXT = ".b64"
AT = datetime(2026, 12, 1, 9, 30, tzinfo=UTC)
LIVES, DIES = "x86_64-tcg-reference-linux-labvmm-vmm_kill", "x86_64-tcg-stock-linux-qemu-vmm_kill"
STORIES: dict[str, tuple[Callable[[Rehearsal], Evidence], ExpectationRecord]] = {
    LIVES: (lives_on, ExpectationRecord(kind="survives", scope=Scope.RUNNING)),
    DIES: (dies_at_once, ExpectationRecord(kind="dies")),
}
PROVENANCE = Provenance(
    lab_commit="2657a1e" * 5 + "2657a",
    lab_dirty=False,
    lab_source=source_digest(),
    images={"kernel": "3a" * 32, "root": "9b" * 32},
    boots=(BootRecord(boot_id="b1", build_id="6f1ed002ab55", release="7.3.4"),),
    limits={"watch.patience_s": 5.0},
    qemu="10.0.3",
    libvirt="9.0.0",
    errata="applied",
    cpu_model="AMD EPYC-Milan",
    host_cpu="max",
    l0_kernel="6.1.0",
)


def made(reports: Path, *, run_id: str = "51a7") -> Path:
    """Write a run that has ended, and return its folder."""
    header = RunHeader(run_id=run_id, started=AT, ended=AT, tier="ci", planned=())
    folder = shards.begin(reports, header)
    shards.note_environment(folder, EnvironmentRecord(cpu_model="x"), worker="main")
    for name in STORIES:
        shards.write_cell(folder, cell_of(folder, name))
    gone = CellRecord(id="x86_64-tcg-stock-sev", outcome=Outcome.UNAVAILABLE, first_cause="no SEV")
    shards.write_cell(folder, gone)
    end(folder)
    return folder


def end(folder: Path) -> RunRecord:
    """Put the record of a run together, and its hash tree."""
    record = shards.assemble(folder)
    write_document(folder / "run.json", record)
    manifest.seal(folder, record)
    return record


def cell_of(folder: Path, name: str) -> CellRecord:
    """Write the evidence of a cell, and return its record."""
    story, wanted = STORIES[name]
    evidence = folder / "evidence" / name
    evidence.mkdir(parents=True)
    case = case_of(story(Rehearsal(period_ns=20_000_000, step_s=0.1)), cell=name)
    evidence_file.save(evidence / evidence_file.NAME, case)
    (evidence / "host-console.log").write_text("[    0.0] Linux version 7.3.4\n")
    read = evidence_file.load(evidence / evidence_file.NAME)
    came = account(wanted, read, judged(read))
    return CellRecord(
        id=name,
        dimensions={"disruption": "vmm-kill", "vcpus": 1},
        expectation=wanted,
        outcome=came.outcome,
        verdict=came.verdict,
        witness=came.witness,
        first_cause=came.first_cause,
        timeline=came.timeline,
        evidence=f"evidence/{name}",
        provenance=PROVENANCE,
        digests={path.name: digest_of(path) for path in sorted(evidence.iterdir())},
    )


def write() -> None:
    """Write the stored run anew; what is packed is stored as text, since git has no binaries."""
    shutil.rmtree(STORED, ignore_errors=True)
    folder = made(STORED)
    for path in folder.rglob("*.gz"):
        path.with_name(f"{path.name}{_AS_TEXT}").write_bytes(base64.encodebytes(path.read_bytes()))
        path.unlink()


def unpacked(into: Path) -> Path:
    """Return the folder of the stored run as it was when it was written."""
    (stored,) = STORED.iterdir()
    folder = Path(shutil.copytree(stored, into / stored.name))
    for path in folder.rglob(f"*{_AS_TEXT}"):
        path.with_suffix("").write_bytes(base64.decodebytes(path.read_bytes()))
        path.unlink()
    return folder


if __name__ == "__main__":
    write()
