# SPDX-License-Identifier: Apache-2.0
"""By what a cell came about is read from what ran: images, boots, limits, the lab's own commit."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab.config.cell_request import CellRequest
from lab.config.model import Accel, Cell, DisruptionKind, LabConfig, Patience, Watch
from lab.observe.identity import HostIdentity
from lab.runner.provenance import (
    errata_word,
    expected,
    image_digest,
    lab_commit,
    limits_of,
    provenance_of,
)
from lab.runner.result import RanOn
from lab.verify.source import source_digest
from lab.virt import errata

LAB = LabConfig.model_validate({"kernel": {"stock": {"recipe": "stock"}}})
BOOTS = tuple(HostIdentity(f"b{n}", "quiet", f"build{n}", "7.3.4", 1.0) for n in (1, 2))


def git(folder: Path, *words: str) -> None:
    command = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", *words]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    (tmp_path / "file").write_text("one\n")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-qm", "one")
    return tmp_path


@pytest.fixture(autouse=True)
def _anew() -> None:
    lab_commit.cache_clear()


def test_the_commit_of_a_checkout_and_whether_it_has_changes(checkout: Path) -> None:
    commit, dirty = lab_commit(checkout)
    assert (len(commit), dirty) == (40, False)
    lab_commit.cache_clear()
    (checkout / "file").write_text("two\n")
    assert lab_commit(checkout) == (commit, True)


def test_a_file_that_git_does_not_know_is_a_change(checkout: Path) -> None:
    (checkout / "new").touch()
    assert lab_commit(checkout)[1] is True


def test_a_lab_inside_another_checkout_has_no_commit(checkout: Path) -> None:
    (checkout / "site-packages").mkdir()
    assert lab_commit(checkout / "site-packages") == ("", None)


def test_a_lab_without_git_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lab_commit(tmp_path) == ("", None)
    lab_commit.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert lab_commit(tmp_path) == ("", None)


def test_the_code_of_the_lab_has_a_digest(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("1\n")
    one = source_digest(tmp_path)
    source_digest.cache_clear()
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    other = source_digest(tmp_path)
    assert len({one, other, source_digest()}) == 3
    source_digest.cache_clear()


def test_an_image_that_was_changed_has_another_digest(tmp_path: Path) -> None:
    image = tmp_path / "bzImage"
    image.write_bytes(b"one")
    assert image_digest(image) == hashlib.sha256(b"one").hexdigest()
    image.write_bytes(b"two")
    os.utime(image, ns=(1, 1))
    assert image_digest(image) == hashlib.sha256(b"two").hexdigest()


def test_limits_are_by_section_and_key_of_lab_toml() -> None:
    found = limits_of(Watch(patience_s=4.5), Patience())
    assert (found["watch.patience_s"], found["watch.look_every_ms"]) == (4.5, 20.0)
    assert found["patience.kexec_s"] == 120.0
    assert len(found) == len(Watch.model_fields) + len(Patience.model_fields)


@pytest.mark.parametrize(
    ("told", "word"),
    [
        ("", "none"),
        (errata.TAKEN_OUT, "applied"),
        (errata.LEFT_ALONE, "left"),
        (f"{errata.LEFT_IN}: it is not a process", "failed"),
    ],
)
def test_what_became_of_qemus_errors_is_one_word(told: str, word: str) -> None:
    assert errata_word(told) == word


class Session:
    """A run whose images are files of a folder."""

    def __init__(self, folder: Path, lab: LabConfig = LAB) -> None:
        self.lab = lab
        self.connection = SimpleNamespace(
            versions=lambda: {"hypervisor": "10.0.3", "libvirt": "9.0.0"}
        )
        files = {n: folder / n for n in ("kernel", "initrd", "root", "tools", "other")}
        for name, path in files.items():
            path.write_text(name)
        kernel = SimpleNamespace(image=files["kernel"], build_id="build1", release="7.3.4")
        self.outfit = SimpleNamespace(
            kernel=kernel, initrd=files["initrd"], disks=(files["root"], files["tools"])
        )
        self.other = SimpleNamespace(image=files["other"], build_id="build2", release="7.3.4")
        self.images = SimpleNamespace(outfit=lambda *_: self.outfit, kernel=lambda *_: self.other)

    def ran_on(self, **more: Any) -> RanOn:
        """Return a host that booted them."""
        blueprint: Any = SimpleNamespace(
            **{**vars(self.outfit), "through": None, "cpu_model": None, **more}
        )
        return RanOn(blueprint, BOOTS, errata.TAKEN_OUT)


def cell() -> Cell:
    return CellRequest(disruption=DisruptionKind.KEXEC).cell(LAB, accel=Accel.TCG)


def test_a_record_has_what_its_host_booted(tmp_path: Path) -> None:
    session: Any = Session(tmp_path)
    told = provenance_of(session, session.ran_on(through=session.other), Watch())
    assert [(boot.boot_id, boot.build_id) for boot in told.boots] == [
        ("b1", "build1"),
        ("b2", "build2"),
    ]
    assert told.images == {
        name: hashlib.sha256(file.encode()).hexdigest()
        for name, file in [
            ("kernel", "kernel"), ("initrd", "initrd"), ("root", "root"), ("tools", "tools"),
            ("through", "other"),
        ]
    }  # fmt: skip
    assert (told.errata, told.host_cpu, told.lab_source) == ("applied", "", source_digest())


def test_what_is_expected_is_what_came_about(tmp_path: Path) -> None:
    session: Any = Session(tmp_path)
    came = provenance_of(session, session.ran_on(), Watch())
    now = expected(session, cell())
    assert now.model_copy(update={"boots": came.boots}) == came
    assert [boot.build_id for boot in now.boots] == ["build1"]


def test_errata_that_are_left_are_expected_to_be(tmp_path: Path) -> None:
    text = {"kernel": {"stock": {"recipe": "stock"}}, "libvirt": {"errata": "leave"}}
    session: Any = Session(tmp_path, LabConfig.model_validate(text))
    assert expected(session, cell()).errata == "left"
    assert expected(session, cell().model_copy(update={"accel": Accel.KVM})).errata == "none"
