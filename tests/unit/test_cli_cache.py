# SPDX-License-Identifier: Apache-2.0
"""`lab cache` as it is typed: what it says, its status, and that nothing goes without --yes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.arch import Arch
from lab.build import lock_file
from lab.build.cache import Cache
from lab.build.cache_keys import MANIFEST
from lab.cli import main
from lab.config.lock import Lock, LockedSet, Part
from lab.events import nowhere
from lab.runner.image_store import ImageStore
from tests.support.cli_lab import own_lab
from tests.support.http_mirror import Mirror, serving


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cache]:
    """Two kernels, of which one is ten days old, and a package."""
    monkeypatch.delenv("LAB_TOML", raising=False)
    with own_lab() as path:
        made = Cache(path.parent / "cache")
        old = put(made, "kernel", compiler="gcc 12")
        put(made, "kernel", compiler="gcc 14")
        put(made, "package", sha256="a" * 64)
        then = (old / MANIFEST).stat().st_mtime - 10 * 86400
        os.utime(old / MANIFEST, (then, then))
        yield made


def put(cache: Cache, kind: str, **inputs: str) -> Path:
    def build(out: Path) -> None:
        (out / "file").write_text("x" * 5000)

    return cache.entry(kind, inputs, build, what=f"a {kind}", usually_s=1, sink=nowhere)


def keys(cache: Cache, kind: str) -> list[str]:
    return sorted(path.name for path in (cache.root / kind).glob("[!.]*"))


def test_list_has_a_line_an_artifact_and_one_for_all_packages(
    cache: Cache, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cache", "list"]) == 0
    said = capsys.readouterr().out
    for key in keys(cache, "kernel"):
        assert f"kernel/{key}" in said
    assert "10 days   a kernel" in said
    assert "1 packages, as they came" in said
    assert f"{cache.root}: 3 artifacts" in said
    main(["cache", "list", "--packages"])
    assert f"package/{keys(cache, 'package')[0]}" in capsys.readouterr().out


def test_why_names_the_inputs_and_what_the_nearest_other_has(
    cache: Cache, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = put(cache, "kernel", compiler="gcc 14").name
    assert main(["cache", "why", wanted]) == 0
    said = capsys.readouterr().out
    assert f"kernel/{wanted}: a kernel\n" in said
    assert "  compiler: 'gcc 14'\n" in said
    assert "  compiler: 'gcc 12' -> 'gcc 14'\n" in said
    main(["cache", "why", "package"])
    assert "there is no other of its kind" in capsys.readouterr().out


def test_prune_removes_nothing_without_yes(
    cache: Cache, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cache", "prune", "--days", "5"]) == 0
    said = capsys.readouterr().out
    assert "would remove 1 artifacts" in said
    assert "type the same with --yes" in said
    assert len(keys(cache, "kernel")) == 2
    assert main(["cache", "prune", "--days", "5", "--yes"]) == 0
    assert "removed 1 artifacts" in capsys.readouterr().out
    assert len(keys(cache, "kernel")) == 1
    assert main(["cache", "prune", "--mib", "0", "--yes"]) == 0
    assert len(keys(cache, "kernel")) == 1  # it was just used


@pytest.mark.usefixtures("cache")
def test_prune_wants_to_know_what(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "prune"]) == 2
    assert "type: lab cache prune --days 30" in capsys.readouterr().err


def test_verify_names_what_is_damaged_and_repair_removes_it(
    cache: Cache, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cache", "verify"]) == 0
    broken = cache.root / "kernel" / keys(cache, "kernel")[0]
    (broken / "file").write_text("y")
    assert main(["cache", "verify"]) == 1
    said = capsys.readouterr().out
    assert f"kernel/{broken.name} (a kernel): 'file' has changed\n" in said
    assert "lab cache verify --repair" in said
    assert broken.exists()
    assert main(["cache", "verify", "--repair"]) == 1
    assert not broken.exists()
    assert main(["cache", "verify"]) == 0


def test_an_export_is_imported_by_another_cache(
    cache: Cache, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "x"
    assert main(["cache", "export", str(file), "--kind", "kernel"]) == 0
    assert "lab cache import x" in capsys.readouterr().out
    cache.clear()
    assert main(["cache", "import", str(file)]) == 0
    assert f"{cache.root}: 2 artifacts came, 0 were there" in capsys.readouterr().out
    assert keys(cache, "package") == []
    assert main(["cache", "export", str(file), "--kind", "kernels"]) == 2
    assert "there are: kernel" in capsys.readouterr().err


def test_fill_makes_what_hosts_on_each_kernel_boot(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[tuple[str, Arch]] = []
    monkeypatch.setattr(ImageStore, "outfit", lambda _, name, arch: made.append((name, arch)))
    assert main(["cache", "fill", "debian", "stock", "--arch", "arm64"]) == 0
    assert made == [("debian", Arch.ARM64), ("stock", Arch.ARM64)]
    assert f"{cache.root}: hosts on debian, stock for arm64 need no" in capsys.readouterr().out


@pytest.mark.usefixtures("cache")
def test_fill_ends_with_125_where_a_locked_package_has_left_the_mirrors(
    capsys: pytest.CaptureFixture[str],
) -> None:
    toml = Path("lab.toml")
    with serving(Mirror()) as mirror:
        toml.write_text(f'mirror = "{mirror.url}"\n{toml.read_text()}')
        locked = LockedSet(
            part=Part.KERNEL,
            arch=Arch.X86_64,
            wanted=("linux-image-amd64",),
            of_version="7.3.4-1",
            suites=("trixie-backports", "trixie"),
            packages=(mirror.add("pool/main/linux-image-amd64_1.deb", b"x"),),
        )
        Path("lab.lock").write_text(lock_file.text(Lock(debian=(locked,))))
        mirror.files.clear()
        assert main(["cache", "fill", "debian"]) == 125
    said = capsys.readouterr().err
    assert "404 Not Found: it has dropped that version" in said
    assert "lab lock --update" in said
