# SPDX-License-Identifier: Apache-2.0
"""Locked packages: fetched once, by path and digest, and what is not locked does not come."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.arch import Arch
from lab.build import archive, distribution
from lab.build.archive import Found
from lab.build.cache import Cache, Value
from lab.build.distribution import DebianKernel
from lab.build.pool import Pool
from lab.build.supply import Supply
from lab.config.load import load_lab
from lab.config.lock import Lock, LockedCommit, LockedSet, Part
from lab.config.model import LabConfig
from lab.errors import ConfigError, GoneError, InfraError, OfflineError
from lab.events import Event, Progress, nowhere
from tests.support.http_mirror import Mirror, serving
from tests.support.kernel_packages import RELEASE, deb, files

ROOT = Path(__file__).parents[2]
VERSION = "7.3.4-1~bpo13+1"
SUITES = ("trixie-backports",)


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with serving(Mirror()) as made:
        yield made


@pytest.fixture
def kernel(mirror: Mirror) -> LockedSet:
    """A kernel in two packages, and a lock of it."""
    whole = files()
    first = {name: whole[name] for name in whole if "boot/" in name}
    rest = {name: whole[name] for name in whole if "boot/" not in name}
    packages = (
        mirror.add("pool/main/l/linux/linux-image_7_amd64.deb", deb(first), VERSION),
        mirror.add("pool/main/l/linux/linux-modules_7_amd64.deb", deb(rest), VERSION),
    )
    return LockedSet(
        part=Part.KERNEL,
        arch=Arch.X86_64,
        wanted=("linux-image",),
        of_version=VERSION,
        suites=SUITES,
        packages=packages,
    )


def take(cache: Cache, mirror: Mirror, locked: LockedSet) -> str:
    wanted = DebianKernel(
        package="linux-image",
        version=VERSION,
        suites=SUITES,
        mirrors=(mirror.url,),
        locked=locked,
    )
    return distribution.take("debian", Arch.X86_64, wanted, cache).release


@pytest.fixture(autouse=True)
def no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """No index may be asked for what is locked."""

    def asked(*_: object) -> None:
        pytest.fail("an index was asked")

    monkeypatch.setattr(archive.Archive, "versions", asked)
    monkeypatch.setattr(archive.Archive, "renew", asked)


def test_a_locked_kernel_comes_by_path_and_without_an_index(
    tmp_path: Path, mirror: Mirror, kernel: LockedSet
) -> None:
    assert take(Cache(tmp_path), mirror, kernel) == RELEASE
    assert sorted(path for path, _ in mirror.asked) == sorted(f"/{p}" for p in mirror.files)


def test_the_key_of_a_kernel_is_as_it_was_without_a_lock(
    tmp_path: Path, mirror: Mirror, kernel: LockedSet
) -> None:
    take(Cache(tmp_path), mirror, kernel)
    inputs: dict[str, Value] = {
        "how": 2,
        "arch": "x86_64",
        "package": "linux-image",
        "version": VERSION,
    }
    assert Cache(tmp_path).existing("prebuilt", inputs)


def test_with_the_cache_full_nothing_is_asked(
    tmp_path: Path, mirror: Mirror, kernel: LockedSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    Pool(Cache(tmp_path), (mirror.url,)).files(kernel, what="it", sink=nowhere)
    monkeypatch.setenv("LAB_OFFLINE", "1")
    asked = len(mirror.asked)
    assert take(Cache(tmp_path), mirror, kernel) == RELEASE
    assert len(mirror.asked) == asked


def test_offline_what_is_not_cached_is_one_clear_error(
    tmp_path: Path, mirror: Mirror, kernel: LockedSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_OFFLINE", "1")
    with pytest.raises(OfflineError, match=r"downloading linux-(image|modules) 7") as caught:
        take(Cache(tmp_path), mirror, kernel)
    assert "lab cache import FILE" in str(caught.value)
    assert mirror.asked == []


def test_a_newer_package_on_the_mirror_changes_nothing(
    tmp_path: Path, mirror: Mirror, kernel: LockedSet
) -> None:
    mirror.add("pool/main/l/linux/linux-image_8_amd64.deb", deb(files(release="8")), "8")
    assert take(Cache(tmp_path), mirror, kernel) == RELEASE


def test_what_is_gone_is_said_with_what_there_is_now(
    tmp_path: Path, mirror: Mirror, kernel: LockedSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        archive.Archive, "versions", lambda *_: (Found("7.3.5-1", "trixie-backports"),)
    )
    del mirror.files[kernel.packages[1].path]
    with pytest.raises(GoneError) as caught:
        take(Cache(tmp_path), mirror, kernel)
    said = str(caught.value)
    assert said.startswith(f"linux-image {VERSION}: linux-modules {VERSION} (SHA-256")
    assert "of linux-modules there is now: 7.3.5-1 (trixie-backports)" in said
    assert "lab lock --update" in said


def test_that_an_index_cannot_be_had_hides_no_error(
    tmp_path: Path, mirror: Mirror, kernel: LockedSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise InfraError("no index")

    monkeypatch.setattr(archive.Archive, "versions", broken)
    mirror.files.clear()
    with pytest.raises(GoneError, match="what there is instead cannot be told: no index"):
        take(Cache(tmp_path), mirror, kernel)


def test_what_was_fetched_before_an_interruption_is_not_fetched_again(
    tmp_path: Path, mirror: Mirror, kernel: LockedSet
) -> None:
    mirror.cut, mirror.ranges = 100, False
    pool = Pool(Cache(tmp_path), (mirror.url,))
    with pytest.raises(InfraError, match="ended after 100 of"):
        pool.files(kernel, what="it", sink=nowhere)
    mirror.cut, mirror.ranges = None, True
    mirror.asked.clear()
    pool.files(kernel, what="it", sink=nowhere)
    assert {asked for _, asked in mirror.asked} == {"bytes=100-"}


def test_progress_is_in_mebibytes_of_all_files(tmp_path: Path, mirror: Mirror) -> None:
    packages = tuple(mirror.add(f"pool/{n}_1_all.deb", bytes(1 << 20) + b"%d" % n) for n in (1, 2))
    locked = LockedSet(
        part=Part.PYTHON, arch=Arch.ARM64, wanted=("1",), suites=("a",), packages=packages
    )
    told: list[Event] = []
    found = Pool(Cache(tmp_path), (mirror.url,)).files(locked, what="it", sink=told.append)
    assert [file.name for file in found] == ["1_1_all.deb", "2_1_all.deb"]
    steps = [event for event in told if isinstance(event, Progress)]
    assert (steps[0].done, steps[-1].done, steps[-1].total) == (0, 3, 3)


def supply(**more: object) -> Supply:
    return Supply(lock=Lock.model_validate(more))


def test_a_wish_that_floats_and_is_not_locked_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        supply().packages(
            Part.SOURCE, Arch.X86_64, ("linux-source-7.4",), ("a", "b"), "7.4", whose="kernel k"
        )
    assert str(caught.value).startswith(
        "lab.lock: debian: nothing there for kernel k for x86_64: linux-source-7.4 7.4 of a, b\n"
        "hint: type: lab lock"
    )


@pytest.mark.parametrize("key", ["part", "arch", "wanted", "suites", "version"])
def test_a_lock_of_another_wish_is_none_of_this(kernel: LockedSet, key: str) -> None:
    made = Supply(lock=Lock(debian=(kernel,)))
    wish: dict[str, object] = {
        "part": Part.KERNEL,
        "arch": Arch.X86_64,
        "wanted": ("linux-image",),
        "suites": SUITES,
        "version": VERSION,
    }
    assert made.packages(**wish, whose="it") == kernel  # type: ignore[arg-type]
    others = {
        "part": Part.SOURCE, "arch": Arch.ARM64, "wanted": ("a",), "suites": ("a",),
        "version": "7-1",
    }  # fmt: skip
    assert made.packages(**{**wish, key: others[key]}, whose="it") is None  # type: ignore[arg-type]


def test_without_any_lock_what_is_made_of_it_names_the_file_and_the_command() -> None:
    with pytest.raises(ConfigError, match=r"lab\.lock: no such file; it is made of") as caught:
        Supply().locked(Part.ROOTFS, Arch.ARM64, ("a",), ("b",), whose="it")
    assert "type: lab lock" in str(caught.value)


def test_a_branch_is_the_commit_that_it_was_when_it_was_locked() -> None:
    made = Supply(lock=Lock(git=(LockedCommit(url="u", ref="r", commit="a" * 40),)))
    assert made.commit_of("u", "r", whose="it") == "a" * 40
    assert made.commit_of("u", "b" * 40, whose="it") is None
    assert Supply().commit_of("u", "r", whose="it") is None
    with pytest.raises(ConfigError, match=r"lab\.lock: git: nothing there for it: 's' of 'u'"):
        made.commit_of("u", "s", whose="it")


def test_a_lab_toml_goes_with_the_lock_beside_it_or_else_the_labs_own(tmp_path: Path) -> None:
    toml = tmp_path / "lab.toml"
    toml.write_text('mirror = ["http://a/", "http://b"]\n')
    own = load_lab(toml).lock
    assert own == load_lab(ROOT / "lab.toml").lock
    assert own is not None
    assert own.debian
    (tmp_path / "lab.lock").write_text("format = 1\n")
    assert load_lab(toml).lock == Lock()
    assert Supply.of(load_lab(toml)).mirrors == ("http://a", "http://b")
    assert LabConfig().lock is None


def test_a_lock_that_was_edited_is_refused_with_file_and_key(tmp_path: Path) -> None:
    (tmp_path / "lab.toml").touch()
    lock = tmp_path / "lab.lock"
    lock.write_text('format = 1\n[[git]]\nurl = "u"\nref = "r"\ncommit = "main"\n')
    with pytest.raises(ConfigError) as caught:
        load_lab(tmp_path / "lab.toml")
    assert str(caught.value).startswith(f"{lock}: git[1].commit: ")
