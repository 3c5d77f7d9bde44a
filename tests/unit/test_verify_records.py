# SPDX-License-Identifier: Apache-2.0
"""A record that was changed is told with the figure; so is a judge that says something else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.verdict import judge, silence_checks
from lab.verdict.evidence import Evidence
from lab.verdict.verdict import Check, Lost, Verdict
from lab.verify import cell as verify_cell
from lab.verify import manifest
from lab.verify.cell import State
from lab.verify.run import verify
from tests.support.changed_run import BEATS, CONSOLE, RECORD, edit, edit_record, flip, state
from tests.support.stored_run import DIES, LIVES, end, made


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / whole.name, symlinks=True))


def _figure(data: Any) -> None:
    data["verdict"]["figures"]["rewind_ms"] = 0.5


def _silence(data: Any) -> None:
    data["verdict"]["vcpus"][0]["longest_guest_ms"] += 0.001


def _kind(data: Any) -> None:
    data["verdict"]["kind"] = "Lost"


def _check(data: Any) -> None:
    data["verdict"]["figures"]["check"] = "silence"


def _fact(data: Any) -> None:
    data["verdict"]["figures"]["mode"] = "swallowed"


def _more(data: Any) -> None:
    data["verdict"]["figures"]["more"] = "yes"


def _witness(data: Any) -> None:
    data["witness"]["what"] = "kexec"


def _outcome(data: Any) -> None:
    data["outcome"] = "xpassed"


def _cause(data: Any) -> None:
    data["first_cause"] = "the kernel of a complained: Oops"


def _timeline(data: Any) -> None:
    data["timeline"]["vcpus"][0]["l0"][3] += 1


def _vcpus(data: Any) -> None:
    data["dimensions"]["vcpus"] = 2


def _disruption(data: Any) -> None:
    data["dimensions"]["disruption"] = "kexec"


def _expectation(data: Any) -> None:
    data["expectation"] = None


CHANGES = [
    (_figure, "verdict.figures.rewind_ms: the record has 0.5, the evidence gives "),
    (_silence, "verdict.vcpus.0.longest_guest_ms: the record has "),
    (_kind, "verdict.kind: the record has 'Lost', the evidence gives 'Survived'"),
    (_check, "verdict.figures.check: the record has 'silence', the evidence gives 'all'"),
    (_fact, "verdict.figures.mode: the record has 'swallowed', the evidence gives 'native'"),
    (_more, "verdict.figures.more: the record has 'yes', the evidence gives None"),
    (_witness, "witness.what: the record has 'kexec', the evidence gives 'vmm-kill'"),
    (_outcome, "outcome: the record has 'xpassed', the evidence gives 'passed'"),
    (_cause, "first_cause: the record has 'the kernel of a complained: Oops'"),
    (_timeline, "timeline.vcpus.0.l0.3: the record has "),
    (_vcpus, "vcpus: the record has '2', the evidence gives '1'"),
    (_disruption, "disruption: the record has 'kexec', the evidence gives 'vmm-kill'"),
    (_expectation, "expectation: the record has none"),
]


@pytest.mark.parametrize(("change", "says"), CHANGES)
def test_a_changed_record_is_told_with_the_figure(
    run: Path, change: Callable[[Any], None], says: str
) -> None:
    edit_record(run, change)
    found = verify(run)
    assert (found.status, state(found)[0]) == (1, State.RECORD)
    assert f"{RECORD} was changed" in state(found)[1]
    assert any(each.startswith(says) for each in state(found)[1]), state(found)


@pytest.mark.parametrize(("change", "says"), CHANGES)
def test_a_record_that_was_sealed_anew_is_told_by_its_evidence(
    run: Path, change: Callable[[Any], None], says: str
) -> None:
    edit(run / RECORD, change)
    end(run)
    found = verify(run)
    assert (found.status, state(found)[0]) == (1, State.RECORD)
    assert state(found)[1][0].startswith(says)


@pytest.mark.parametrize("change", [_figure, _kind, _cause])
def test_a_record_that_was_changed_in_run_json_alone_is_told(
    run: Path, change: Callable[[Any], None]
) -> None:
    edit(run / "run.json", lambda d: change(next(c for c in d["cells"] if c["id"] == LIVES)))
    found = verify(run)
    assert (found.status, state(found)[0]) == (1, State.RECORD)
    assert state(found)[1][0] == f"run.json has another record of {LIVES} than its own file"


def test_evidence_that_was_sealed_anew_is_told_by_the_record(run: Path) -> None:
    flip(run / CONSOLE)
    end(run)
    assert state(verify(run)) == (State.EVIDENCE, (f"{CONSOLE} was changed",))


def test_evidence_of_another_cell_is_told(run: Path) -> None:
    shutil.copy(run / f"evidence/{DIES}/beats.json.gz", run / BEATS)

    def known(data: Any) -> None:
        data["digests"] = {}

    edit(run / RECORD, known)
    end(run)
    found = verify(run)
    assert state(found)[0] is State.RECORD
    assert state(found)[1][0] == f"cell: the record has '{LIVES}', the evidence gives '{DIES}'"


def _loses_everything(_: Evidence) -> Verdict:
    return Lost("nothing survives", Check.SILENCE)


def test_a_changed_judge_is_told(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "_CHECKS", (_loses_everything,))
    monkeypatch.setattr(verify_cell, "source_digest", lambda: "another")
    found = verify(run)
    assert (found.status, state(found)[0]) == (1, State.JUDGE)
    assert state(found)[1][0].startswith("verdict.kind: the record has 'Survived'")
    assert state(found)[1][-1].startswith("it was judged by another lab: commit 2657a1e2657a")


def test_another_judge_that_says_the_same_is_well(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_cell, "source_digest", lambda: "another")
    assert verify(run).status == 0


def test_a_judge_that_breaks_tells_nothing(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence_checks, "silences", None)
    found = verify(run)
    assert (found.status, state(found)[0]) == (125, State.UNTOLD)
    assert "makes the judge fail: TypeError: " in state(found)[1][0]


def old(data: Any) -> None:
    data.pop("evidence_version")
    data["version"] = 1


def test_evidence_of_before_cannot_be_verified(run: Path) -> None:
    edit(run / BEATS, old)

    def known(data: Any) -> None:
        data["digests"], data["provenance"] = {}, None

    edit(run / RECORD, known)
    end(run)
    found = verify(run)
    assert found.status == 125
    assert state(found) == (State.UNTOLD, ("written before evidence version 2",))


def test_a_run_of_before_cannot_be_verified(run: Path) -> None:
    shutil.rmtree(run / "evidence")
    (run / manifest.NAME).unlink()

    def known(data: Any) -> None:
        data["digests"] = {}

    edit_record(run, known)
    found = verify(run)
    assert state(found) == (State.UNTOLD, ("written before evidence version 2",))
    assert found.untold[0].startswith("it has no hash tree")


@pytest.mark.parametrize("stored", ["run-v1.json", "run-v3.json"])
def test_records_of_old_schemas_cannot_be_verified(stored: str, tmp_path: Path) -> None:
    shutil.copy(Path(__file__).parents[1] / "golden" / "record" / stored, tmp_path / "run.json")
    assert verify(tmp_path).status == 125


@pytest.mark.parametrize(
    "record", [b"", b"{}", b"[" * 200_000, b'{"schema_version": 99}', b"\xff", b"null"]
)
def test_a_damaged_record_tells_nothing(run: Path, record: bytes) -> None:
    (run / "run.json").write_bytes(record)
    found = verify(run)
    assert (found.status, len(found.untold)) == (125, 1)
    assert found.cells == ()
