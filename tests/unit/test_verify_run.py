# SPDX-License-Identifier: Apache-2.0
"""A run verified: what was changed is told apart, named, and never an exception."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.errors import ConfigError
from lab.record.files import load as load_record
from lab.record.files import write_document
from lab.record.model import CellRecord, Outcome
from lab.verdict import judge, silence_checks
from lab.verdict.evidence import Evidence
from lab.verdict.verdict import Check, Lost, Verdict
from lab.verify import cell as verify_cell
from lab.verify import manifest
from lab.verify.cell import State
from lab.verify.plain_files import printable
from lab.verify.run import VerifiedRun, verify
from lab.verify.signature import sign, signature_of
from tests.support.stored_run import DIES, LIVES, end, made, unpacked

BEATS = f"evidence/{LIVES}/beats.json.gz"
CONSOLE = f"evidence/{LIVES}/host-console.log"
RECORD = f"cells/{LIVES}.json"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / whole.name, symlinks=True))


def state(found: VerifiedRun, key: str = LIVES) -> tuple[State, tuple[str, ...]]:
    return next((c.state, c.reasons) for c in found.cells if c.cell == key)


def flip(path: Path, at: int = 20) -> None:
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)


def edit(path: Path, change: Callable[[Any], object]) -> None:
    packed = path.suffix == ".gz"
    raw = path.read_bytes()
    data = json.loads(gzip.decompress(raw) if packed else raw)
    change(data)
    text = json.dumps(data).encode()
    path.write_bytes(gzip.compress(text) if packed else text)


def edit_record(run: Path, change: Callable[[Any], object]) -> None:
    """Change the record of a cell in both places."""
    edit(run / RECORD, change)
    edit(run / "run.json", lambda d: change(next(c for c in d["cells"] if c["id"] == LIVES)))


def test_a_run_that_nobody_changed_is_verified(whole: Path) -> None:
    found = verify(whole)
    assert (found.status, found.differs, found.untold) == (0, (), ())
    assert [c.state for c in found.cells] == [State.VERIFIED, State.VERIFIED, State.UNJUDGED]
    assert len(found.root) == 64


@pytest.mark.parametrize("name", [BEATS, CONSOLE])
@pytest.mark.parametrize("at", [0, 17, -1])
def test_one_byte_of_evidence_is_told_with_its_file(run: Path, name: str, at: int) -> None:
    flip(run / name, at)
    found = verify(run)
    assert found.status == 1
    assert state(found)[0] is State.EVIDENCE
    assert state(found)[1][0] == f"{name} was changed"
    assert state(found, DIES) == (State.VERIFIED, ())
    assert found.differs == ()


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def replaced_by_a_link(path: Path) -> None:
    kept = path.with_name("kept")
    shutil.move(path, path.parents[2] / kept.name)
    path.symlink_to(path.parents[2] / kept.name)


def replaced_by_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def in_a_linked_folder(path: Path) -> None:
    there = path.parents[2] / "there"
    shutil.move(path.parent, there)
    path.parent.symlink_to(there)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (cut_short, f"{BEATS} was changed"),
        (Path.unlink, f"{BEATS} is missing"),
        (replaced_by_a_link, f"{BEATS} is a symbolic link"),
        (replaced_by_a_pipe, f"{BEATS} cannot be read: it is no regular file"),
        (in_a_linked_folder, f"{BEATS} lies behind the link "),
    ],
)
def test_evidence_that_is_not_there_as_it_was_is_told(
    run: Path, change: Callable[[Path], None], says: str
) -> None:
    change(run / BEATS)
    found = verify(run)
    assert (found.status, state(found)[0]) == (1, State.EVIDENCE)
    assert state(found)[1][0].startswith(says), state(found)


@pytest.mark.parametrize("name", [f"evidence/{LIVES}/more.log", f"evidence/{LIVES}/a/b"])
def test_a_file_too_many_in_the_evidence_is_told(run: Path, name: str) -> None:
    (run / name).parent.mkdir(exist_ok=True)
    (run / name).touch()
    assert state(verify(run)) == (State.EVIDENCE, (f"{name} is in no hash tree of the run",))


def test_evidence_is_told_without_a_hash_tree_by_its_record(run: Path) -> None:
    (run / manifest.NAME).unlink()
    assert verify(run).status == 125
    flip(run / CONSOLE)
    found = verify(run)
    assert (found.status, state(found)) == (1, (State.EVIDENCE, (f"{CONSOLE} was changed",)))


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
    data["verdict"]["figures"]["more"] = True


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
    (_more, "verdict.figures.more: the record has True, the evidence gives None"),
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


def _hostile(path: str) -> Callable[[Any], object]:
    def change(data: Any) -> None:
        data["files"][path] = "0" * 64
        cells = {key: entry["digest"] for key, entry in data["cells"].items()}
        data["root"] = manifest.root_of(data["run_id"], data["files"], cells)

    return change


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/etc/passwd", "leads out of the run's folder"),
        ("evidence/../../secret", "leads out of the run's folder"),
        ("", "leads out of the run's folder"),
        ("a\0b", "leads out of the run's folder"),
        ("evidence", "cannot be read"),
        ("none", "is missing"),
        ("x" * 300, "is missing"),
    ],
)
def test_no_path_of_a_hash_tree_leads_out(run: Path, path: str, says: str) -> None:
    (run.parent / "secret").touch()
    edit(run / manifest.NAME, _hostile(path))
    found = verify(run)
    assert (found.status, len(found.differs)) == (1, 1)
    assert found.differs[0].startswith(f"{printable(path)} {says}"), found.differs


def test_a_record_whose_evidence_leads_out_is_refused(run: Path) -> None:
    edit(run / "run.json", lambda d: d["cells"][0].update(evidence="../../etc"))
    found = verify(run)
    assert found.status == 125
    assert "leaves the run's folder" in found.untold[0]


def test_a_name_of_a_file_that_is_no_text_is_told(run: Path) -> None:
    name = os.fsencode(run / "evidence" / LIVES) + b"/\xff\x1b[2J"
    Path(os.fsdecode(name)).touch()
    assert state(verify(run))[1] == (
        f"evidence/{LIVES}/\\udcff\\x1b[2J is in no hash tree of the run",
    )


def test_a_record_that_is_no_file_is_not_read(run: Path) -> None:
    (run / "cells" / "x.json").symlink_to("/dev/zero")
    os.mkfifo(run / "checks" / "y.json")
    assert sorted(verify(run).differs) == [
        "cells/x.json is a symbolic link",
        "checks/y.json is in no hash tree of the run",
    ]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d.update(root="0" * 64), "the digest of the run is not"),
        (lambda d: d["files"].pop("header.json"), "the digest of the run is not"),
        (lambda d: d["cells"][LIVES]["files"].popitem(), f"the digest of cell {LIVES} is not"),
        (lambda d: d.update(run_id="other"), "the digest of the run is not"),
        (lambda d: d.update(manifest_version=2), "manifest_version: 1 was wanted, 2 came"),
        (lambda d: d.update(more=1), "more: Extra inputs"),
        (lambda d: d["files"].update(x="y"), "files.x: String should match"),
    ],
)
def test_a_changed_hash_tree_is_told(run: Path, change: Callable[[Any], object], says: str) -> None:
    edit(run / manifest.NAME, change)
    found = verify(run)
    assert found.status == 1
    assert says in found.differs[0]
    assert state(found) == (State.VERIFIED, ())


def test_a_hash_tree_that_is_no_json_is_told(run: Path) -> None:
    for raw in (b"", b"[" * 200_000, b"[]"):
        (run / manifest.NAME).write_bytes(raw)
        assert verify(run).status == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda run: flip(run / "header.json"), "header.json was changed"),
        (lambda run: (run / "environment/main.json").unlink(), "environment/main.json is missing"),
        (lambda run: (run / "checks/x.json").touch(), "checks/x.json is in no hash tree of "),
        (
            lambda run: edit(run / "run.json", lambda d: d.update(tier="soak")),
            "run.json has other tier than the files that it was made from",
        ),
        (
            lambda run: edit(run / "run.json", lambda d: d["cells"].pop(1)),
            f"run.json has no record of {DIES}",
        ),
    ],
)
def test_what_is_no_cells_is_told(run: Path, change: Callable[[Path], object], says: str) -> None:
    change(run)
    found = verify(run)
    assert found.status == 1
    assert any(each.startswith(says) for each in found.differs), found


def test_a_cell_that_broke_after_its_verdict_is_verified(run: Path) -> None:
    def broke(data: Any) -> None:
        data.update(outcome="error", first_cause="InfraError: its guest could not be ended")

    edit(run / RECORD, broke)
    end(run)
    assert verify(run).status == 0


def test_a_cell_that_was_tried_more_than_once_is_verified(run: Path) -> None:
    def tried(data: Any) -> None:
        data.update(first_cause="tried before, error: no answer")

    edit(run / RECORD, tried)
    end(run)
    assert verify(run).status == 0


def test_a_run_without_a_verdict_is_not_verified(run: Path) -> None:
    record = load_record(run)
    none = [cell for cell in record.cells if cell.outcome is Outcome.UNAVAILABLE]
    write_document(run / "run.json", record.model_copy(update={"cells": tuple(none)}))
    for key in (LIVES, DIES):
        shutil.rmtree(run / "evidence" / key)
        (run / "cells" / f"{key}.json").unlink()
    end(run)
    found = verify(run)
    assert (found.status, found.differs, found.untold) == (125, (), ())


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("own", "other"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(command, check=True)
    return folder


def test_a_signature_is_checked(run: Path, keys: Path) -> None:
    own = sign(run / manifest.NAME, keys / "own")
    found = verify(run, trusted=own)
    assert (found.status, found.signed_by) == (0, own)


def test_no_signature_is_said_where_one_was_wanted(run: Path) -> None:
    found = verify(run, trusted="SHA256:x")
    assert found.status == 125
    assert found.untold == ("it is not signed, and a signature by SHA256:x was wanted",)


def test_a_run_that_another_signed_is_told(run: Path, keys: Path) -> None:
    other = sign(run / manifest.NAME, keys / "other")
    found = verify(run, trusted="SHA256:own")
    assert found.status == 1
    assert found.differs == (f"it is signed by another key, {other}, and SHA256:own was wanted",)


def test_a_run_that_was_sealed_anew_after_it_was_signed_is_told(run: Path, keys: Path) -> None:
    sign(run / manifest.NAME, keys / "own")
    signature = signature_of(run / manifest.NAME).read_bytes()
    edit(run / RECORD, lambda d: d.update(duration_s=1.0))
    end(run)
    assert verify(run).status == 0, "nobody signed it, and no figure of the evidence differs"
    signature_of(run / manifest.NAME).write_bytes(signature)
    found = verify(run)
    assert found.status == 1
    assert "is no signature of manifest.json" in found.differs[0]


def test_a_run_that_is_sealed_anew_has_no_signature_of_before(run: Path, keys: Path) -> None:
    sign(run / manifest.NAME, keys / "own")
    end(run)
    assert verify(run).signed_by == ""


def test_a_file_that_is_none_is_not_sealed(run: Path) -> None:
    os.mkfifo(run / "evidence" / LIVES / "pipe")
    with pytest.raises(ConfigError, match="no regular file"):
        end(run)


def test_all_parts_of_a_record_are_verified_or_sealed() -> None:
    """Whatever is added to a record has to be put on one side or the other."""
    judged = {"verdict", "witness", "outcome", "first_cause", "timeline", "expectation"}
    sealed = {
        "schema_version", "id", "repeat", "topology", "dimensions", "tier", "rerun", "duration_s",
        "phases", "evidence", "consoles", "children", "provenance", "digests",
    }  # fmt: skip
    assert set(CellRecord.model_fields) == judged | sealed


def test_the_stored_run_is_verified_to_the_last_figure(tmp_path: Path) -> None:
    """A judge that says otherwise of it is another judge: then it is written anew, on purpose."""
    found = verify(unpacked(tmp_path))
    assert found.status == 0, found
    assert [cell.state for cell in found.cells if cell.cell in {LIVES, DIES}] == [
        State.VERIFIED,
        State.VERIFIED,
    ]


def test_a_byte_of_the_stored_run_is_told(tmp_path: Path) -> None:
    run = unpacked(tmp_path)
    flip(run / BEATS)
    found = verify(run)
    assert (found.status, state(found)[1][0]) == (1, f"{BEATS} was changed")
