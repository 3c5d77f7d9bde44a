# SPDX-License-Identifier: Apache-2.0
"""No path of a hash tree leads out of its run; what was changed or signed by another is told."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.errors import ConfigError
from lab.verify import manifest
from lab.verify.cell import State
from lab.verify.plain_files import printable
from lab.verify.run import verify
from lab.verify.signature import sign, signature_of
from tests.support.changed_run import RECORD, edit, state
from tests.support.stored_run import LIVES, end, made


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / whole.name, symlinks=True))


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
