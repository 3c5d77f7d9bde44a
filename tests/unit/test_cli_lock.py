# SPDX-License-Identifier: Apache-2.0
"""`lab lock` adds what is missing, `--update` alone moves what is locked, and both say it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.arch import Arch
from lab.build import archive, locking, tool_versions, wheels
from lab.build.archive import Archive
from lab.build.lock_file import text
from lab.cli import main
from lab.config.load import load_lab, load_lock
from lab.config.lock import Lock, LockedCommit, LockedPackage, LockedSet, LockedWheel, Part
from lab.errors import ConfigError, GoneError, InfraError
from tests.support.cli_lab import own_lab


@pytest.fixture(autouse=True)
def lab(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A lab whose lock is empty, so that the lab's own does not count."""
    monkeypatch.delenv("LAB_TOML", raising=False)
    monkeypatch.setattr(Archive, "renew", lambda *_: None)
    monkeypatch.setattr(tool_versions, "versions", lambda: {"QEMU": "10.0.2"})
    wheel = LockedWheel(name="a", version="1", sha256=("a" * 64,))
    monkeypatch.setattr(wheels, "choose", lambda _: (wheel,))
    with own_lab() as path:
        (path.parent / "lab.lock").write_text("format = 1\n")
        yield path


class Index:
    """What today's index has."""

    def __init__(self) -> None:
        self.version = "1"
        self.refuses: type[ConfigError | InfraError] | None = None

    def __call__(self, wish: locking.Wish, *_: object) -> LockedSet:
        """Fulfil a wish by one package."""
        if self.refuses is not None:
            raise self.refuses(f"there is no {wish.wanted[-1]}")
        name = wish.wanted[-1]
        package = LockedPackage(
            name=name,
            version=self.version,
            path=f"pool/{name}_{self.version}.deb".replace("?", ""),
            size=1,
            sha256=self.version * 64,
        )
        return LockedSet(
            part=wish.part,
            arch=wish.arch,
            wanted=wish.wanted,
            of_version=wish.version,
            suites=wish.suites,
            packages=(package,),
        )


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Index:
    made = Index()
    monkeypatch.setattr(locking, "resolve", made)
    return made


def versions(lab: Path) -> set[str]:
    lock = load_lock(lab.parent / "lab.lock")
    return {package.version for one in lock.debian for package in one.packages}


@pytest.mark.usefixtures("index")
def test_what_is_missing_is_added(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lock"]) == 0
    said = capsys.readouterr().out
    assert "kernel debian for arm64 (linux-image-arm64): added, 1 packages" in said
    assert "kernel stock for x86_64 (linux-source-7.3): added, 1 packages" in said
    assert "the root file system for arm64: added, 1 packages" in said
    assert "lab.lock: written: 7 packages, 0 commits, 1 wheels" in said
    lock = load_lab(lab).lock
    assert lock is not None
    assert lock.find(Part.KERNEL, Arch.ARM64, ("linux-image-arm64",),
                     ("trixie-backports", "trixie"), "7.3.4-1")  # fmt: skip


def test_what_is_locked_stays_and_newer_is_said(
    lab: Path, index: Index, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["lock"])
    before = (lab.parent / "lab.lock").read_bytes()
    index.version = "2"
    capsys.readouterr()
    assert main(["lock"]) == 0
    assert (lab.parent / "lab.lock").read_bytes() == before
    said = capsys.readouterr().out
    assert (
        "kernel stock for x86_64 (linux-source-7.3): stays; there is newer, which "
        "`lab lock --update` takes: linux-source-7.3 1 -> 2"
    ) in said
    assert "lab.lock: as it was" in said


def test_update_alone_moves_it_and_says_what_changed(
    lab: Path, index: Index, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["lock"])
    index.version = "2"
    capsys.readouterr()
    assert main(["lock", "--update"]) == 0
    assert versions(lab) == {"2"}
    assert "kernel stock for x86_64 (linux-source-7.3): linux-source-7.3 1 -> 2\n" in (
        capsys.readouterr().out
    )


@pytest.mark.usefixtures("index")
def test_a_kernel_that_left_lab_toml_stays_until_an_update(lab: Path) -> None:
    main(["lock"])
    lab.write_text(lab.read_text().replace("linux-image-{arch}", "linux-image-9-{arch}"))
    main(["lock"])
    assert len(load_lock(lab.parent / "lab.lock").debian) == 9
    main(["lock", "--update"])
    assert len(load_lock(lab.parent / "lab.lock").debian) == 7


@pytest.mark.parametrize("how", [ConfigError, InfraError])
def test_what_the_mirror_has_no_more_stays_locked_and_is_the_status(
    lab: Path,
    index: Index,
    capsys: pytest.CaptureFixture[str],
    how: type[ConfigError | InfraError],
) -> None:
    main(["lock"])
    before = (lab.parent / "lab.lock").read_bytes()
    index.refuses = how
    assert main(["lock", "--update"]) == 1
    assert (lab.parent / "lab.lock").read_bytes() == before
    assert "stays as it is locked, though: there is no linux-source-7.3" in capsys.readouterr().out


def test_what_was_never_locked_and_is_nowhere_is_an_error(lab: Path, index: Index) -> None:
    index.refuses = ConfigError
    assert main(["lock"]) == 2
    assert versions(lab) == set()


def test_a_kernel_of_one_architecture_only_is_locked_for_that(
    lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Index()

    def resolve(wish: locking.Wish, *_: object) -> LockedSet | None:
        return None if wish.part is Part.KERNEL and wish.arch is Arch.ARM64 else made(wish)

    monkeypatch.setattr(locking, "resolve", resolve)
    assert main(["lock"]) == 0
    assert len(load_lock(lab.parent / "lab.lock").debian) == 6


def test_a_lock_is_read_as_it_was_written(tmp_path: Path) -> None:
    package = LockedPackage(
        name='a"b', version="1~\\", path="pool/a+b_1%3a1.deb", size=3, sha256="a" * 64
    )
    lock = Lock(
        tools={"QEMU": "10.0.2", "a b": "ü"},
        debian=(
            LockedSet(
                part=Part.ROOTFS, arch=Arch.ARM64, wanted=('a"b',), suites=("s",),
                packages=(package, package),
            ),
            LockedSet(
                part=Part.SOURCE, arch=Arch.ARM64, wanted=("a",), of_version="7.3",
                suites=("s", "t"), packages=(package,),
            ),
        ),
        git=(LockedCommit(url="https://a/b", ref="v1", commit="0" * 40),),
        python=(LockedWheel(name="a", version="1", sha256=("b" * 64, "c" * 64)),),
    )  # fmt: skip
    file = tmp_path / "lab.lock"
    file.write_text(text(lock), encoding="utf-8")
    assert load_lock(file) == lock


def test_what_has_left_the_mirrors_cannot_be_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def gone(*_: object, **__: object) -> None:
        raise GoneError("a 1 is gone", hint="lab lock --update")

    monkeypatch.setattr("lab.cli.build.ImageStore.kernel", gone)
    assert main(["kernel", "build", "stock"]) == 125
    assert capsys.readouterr().err.endswith("lab: a 1 is gone\nhint: lab lock --update\n")


def test_offline_keeps_every_program_from_the_network(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.undo()  # the real index
    monkeypatch.setenv("LAB_OFFLINE", "")  # so that it is restored at the end
    monkeypatch.setattr(archive, "mirror", lambda _: "http://127.0.0.1:1")
    assert main(["--offline", "lock"]) == 3
    said = capsys.readouterr().err
    assert "fetching the package index from http://127.0.0.1:1 needs the network" in said
    assert "lab cache import FILE" in said


def test_offline_may_be_typed_behind_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LAB_OFFLINE", "")
    assert main(["run", "--offline", "-d", "vmm-kill", "--dry-run"]) == 0
    assert os.environ["LAB_OFFLINE"] == "1"
    capsys.readouterr()
