# SPDX-License-Identifier: Apache-2.0
"""Debian's archive, with the real apt and a mirror that is not there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from lab.arch import architecture
from lab.build import archive
from lab.build.archive import Archive, Found
from lab.build.cache import Cache
from lab.build.source import DebianSource, fetch
from lab.errors import ConfigError, InfraError
from lab.events import Event, Step, nowhere

pytestmark = pytest.mark.skipif(
    not (shutil.which("apt-get") and archive.KEYRING.exists()), reason="this is not a Debian"
)
NOWHERE = "file:///nowhere/debian"
SUITES = ("trixie", "trixie-backports")
MADISON = """\
linux-source-7.3 | 7.3.4-1~bpo13+1 | http://m/debian trixie-backports/main amd64 Packages
linux-source-7.3 | 7.3.2-1 | http://m/debian trixie/main amd64 Packages
linux-source-7.3 | 7.3.2-1 | http://m/debian trixie/main Sources
"""


def indexed(cache: Cache, *, hours_ago: int = 0) -> Archive:
    """An archive whose index was fetched, and which was asked for the kernel's source."""
    made = Archive(cache, NOWHERE, SUITES, architecture("x86_64"))
    folder = cache.root / "apt/amd64-trixie-trixie-backports"
    folder.mkdir()
    for name, text in {"fetched-from": NOWHERE, "linux-source-7.3.versions": MADISON}.items():
        (folder / name).write_text(text)
        then = (folder / name).stat().st_mtime - hours_ago * 3600
        os.utime(folder / name, (then, then))
    os.utime(folder / "linux-source-7.3.versions")
    return made


def test_a_mirror_that_is_named_is_taken() -> None:
    assert archive.mirror("http://m/debian/") == "http://m/debian"


def test_every_suite_is_trusted_by_debians_keys_only() -> None:
    assert archive.sources("http://m/debian", ["a", "b"]).splitlines() == [
        f"deb [signed-by={archive.KEYRING}] http://m/debian {suite} main" for suite in ("a", "b")
    ]


def test_a_mirror_that_is_not_there_is_said(tmp_path: Path) -> None:
    made = Archive(Cache(tmp_path), NOWHERE, SUITES, architecture("x86_64"))
    with pytest.raises(InfraError, match="fetching the package index from file:///nowhere/debian"):
        made.versions("linux-source-7.3", nowhere)


def test_a_fresh_index_is_not_fetched_again(tmp_path: Path) -> None:
    told: list[Event] = []
    found = indexed(Cache(tmp_path)).versions("linux-source-7.3", told.append)
    assert found == (Found("7.3.4-1~bpo13+1", "trixie-backports"), Found("7.3.2-1", "trixie"))
    assert told == []


def test_without_a_mirror_an_old_index_goes_on_and_that_is_said(tmp_path: Path) -> None:
    told: list[Event] = []
    assert indexed(Cache(tmp_path), hours_ago=25).versions("linux-source-7.3", told.append)
    assert [event.what for event in told if isinstance(event, Step)] == [
        "fetching the package index of trixie, trixie-backports",
        "the mirror does not answer; using the previous index",
    ]


@pytest.mark.parametrize("version", ["7.4", "7.3.3-1"])
def test_a_version_that_is_not_there_is_said_with_those_that_are(
    tmp_path: Path, version: str
) -> None:
    cache = Cache(tmp_path)
    indexed(cache)
    wanted = DebianSource(
        package="linux-source-7.3", suites=SUITES, version=version, mirrors=(NOWHERE,)
    )
    with pytest.raises(ConfigError) as caught:
        fetch(wanted, cache, nowhere)
    said = str(caught.value)
    assert (
        f"no version '{version}' of linux-source-7.3 in trixie, trixie-backports at {NOWHERE}"
        in said
    )
    assert "7.3.4-1~bpo13+1 (trixie-backports), 7.3.2-1 (trixie)" in said


@pytest.mark.parametrize("version", [None, "7.3", "7.3.4-1~bpo13+1"])
def test_the_newest_that_fits_is_fetched(tmp_path: Path, version: str | None) -> None:
    cache, told = Cache(tmp_path), list[Event]()
    indexed(cache)
    wanted = DebianSource(
        package="linux-source-7.3", suites=SUITES, version=version, mirrors=(NOWHERE,)
    )
    with pytest.raises(InfraError, match=r"downloading linux-source-7\.3 7\.3\.4-1~bpo13\+1"):
        fetch(wanted, cache, told.append)
    assert told[0] == Step(
        at=told[0].at, what="linux-source-7.3 is at 7.3.4-1~bpo13+1 in trixie-backports"
    )


def test_a_package_that_no_suite_has_is_said(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    indexed(cache)
    (cache.root / "apt/amd64-trixie-trixie-backports/linux-source-9.versions").touch()
    wanted = DebianSource(package="linux-source-9", suites=SUITES, mirrors=(NOWHERE,))
    with pytest.raises(ConfigError, match="no package 'linux-source-9' in trixie, trixie-backpor"):
        fetch(wanted, cache, nowhere)
