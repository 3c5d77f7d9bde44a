# SPDX-License-Identifier: Apache-2.0
"""A kernel from Debian's mirror, with a mirror that is made up."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from lab.build import distribution
from lab.build.archive import Found, Stanza
from lab.build.cache import Cache
from lab.build.distribution import DebianKernel
from lab.build.kernel import KernelImage
from lab.config.enums import Arch
from lab.errors import ConfigError, InfraError
from lab.events import Event, Step
from tests.support.kernel_packages import RELEASE, deb, files

VERSION = "7.3.4-1~bpo13+1"
IMAGE, BINARY, MODULES = (
    f"linux-{part}-7.3.4+deb13-cloud-amd64" for part in ("image", "binary", "modules")
)
WANTED = DebianKernel(package=IMAGE, version=VERSION, suites=("trixie-backports",))


class Mirror:
    """What an archive answers; the kernel is in two packages that a third one needs."""

    def __init__(self) -> None:
        whole = files()
        self.packages = {
            IMAGE: deb({}),
            BINARY: deb({name: whole[name] for name in whole if "boot/" in name}),
            MODULES: deb({name: whole[name] for name in whole if "boot/" not in name}),
        }
        self.offered = [VERSION, "7.3.2-1~bpo13+1"]
        self.others = [
            "linux-image-7.3.5+deb13-cloud-amd64",
            "linux-image-7.3.5+deb13-amd64",
            "linux-image-7.10.1+deb13-cloud-amd64",
            "linux-image-6.1.0-57-cloud-amd64",
            "linux-image-cloud-amd64",
            "linux-image-7.11.1+deb13-cloud-amd64",  # of which a part is gone
            "linux-binary-7.11.1+deb13-cloud-amd64",
            "linux-base-7.11.1+deb13-cloud-amd64",
            "linux-binary-7.10.1+deb13-cloud-amd64",
            "linux-base-7.10.1+deb13-cloud-amd64",
            "linux-modules-7.10.1+deb13-cloud-amd64",
            "linux-image-7.3.5+deb13-cloud-amd64-dbg",
        ]
        self.asked = 0
        self.broken = b""

    def __call__(self, *_: Any) -> Mirror:
        """Be made for some suites."""
        return self

    def __str__(self) -> str:
        return "trixie-backports at http://m/debian"

    def versions(self, package: str, _sink: Any) -> tuple[Found, ...]:
        """Return the versions there are, and count the question."""
        self.asked += 1
        offered = self.offered if package in self.packages else []
        return tuple(Found(version, "trixie-backports") for version in offered)

    def stanza(self, package: str, version: str) -> Stanza | None:
        """Return what is in the index."""
        if package not in self.packages:
            return None
        needs = ""
        if package == IMAGE:
            needs = f"kmod (>= 30), {BINARY} (= {VERSION}), {MODULES} (= {VERSION})"
        content = self.packages[package]
        return Stanza(
            name=package,
            version=version,
            path=f"pool/{package}.deb",
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            depends=needs,
        )

    def names(self, prefix: str) -> tuple[str, ...]:
        """Name other kernels."""
        return tuple(name for name in self.others if name.startswith(prefix))

    def download(self, package: str, _version: str, into: Path) -> Path:
        """Write the package, and what is wrong with it."""
        file = into / f"{package}.deb"
        file.write_bytes(self.packages[package] + self.broken)
        return file


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Mirror:
    made = Mirror()
    monkeypatch.setattr(distribution, "Archive", made)
    return made


def take(tmp_path: Path, wanted: DebianKernel = WANTED, sink: Any = None) -> KernelImage:
    usual: list[Event] = []
    return distribution.take(
        "debian", Arch.X86_64, wanted, Cache(tmp_path), sink=sink or usual.append
    )


@pytest.mark.usefixtures("mirror")
def test_kernel_is_put_together_from_all_packages_that_it_is_in(tmp_path: Path) -> None:
    told: list[Event] = []
    kernel = take(tmp_path, sink=told.append)
    assert kernel.release == RELEASE
    assert kernel.modules is not None
    assert kernel.source == f"package {IMAGE} {VERSION}"
    steps = [event.what for event in told if isinstance(event, Step)]
    fetched = [what for what in steps if what.startswith("downloading")]
    assert [what.split()[1] for what in fetched] == [IMAGE, BINARY, MODULES]


def test_a_kernel_in_the_cache_needs_no_mirror(tmp_path: Path, mirror: Mirror) -> None:
    first = take(tmp_path)
    assert take(tmp_path) == first
    assert mirror.asked == 1


@pytest.mark.usefixtures("mirror")
def test_a_version_that_the_mirror_has_not_is_said_with_those_that_it_has(tmp_path: Path) -> None:
    wanted = DebianKernel(package=IMAGE, version="7.3.3-1", suites=("trixie-backports",))
    with pytest.raises(ConfigError) as caught:
        take(tmp_path, wanted)
    assert f"no version '7.3.3-1' of {IMAGE} in trixie-backports at http://m/debian" in str(
        caught.value
    )
    assert f"set 'version' to one that it has: {VERSION}, 7.3.2-1~bpo13+1" in str(caught.value)


@pytest.mark.usefixtures("mirror")
def test_a_package_that_the_mirror_has_not_is_said_with_the_newest_of_its_flavour(
    tmp_path: Path,
) -> None:
    wanted = DebianKernel(
        package="linux-image-7.3.3+deb13-cloud-amd64", version=VERSION, suites=("trixie",)
    )
    with pytest.raises(ConfigError) as caught:
        take(tmp_path, wanted)
    assert str(caught.value).endswith(
        "set 'package' to one that it has, as linux-image-7.10.1+deb13-cloud-amd64, "
        "linux-image-7.3.5+deb13-cloud-amd64, linux-image-6.1.0-57-cloud-amd64"
    )


def test_a_part_that_the_mirror_has_dropped_is_said(tmp_path: Path, mirror: Mirror) -> None:
    del mirror.packages[MODULES]
    with pytest.raises(ConfigError, match="the mirror has dropped a part of this kernel") as caught:
        take(tmp_path)
    assert "set 'version' to one that it has: 7.3.2-1~bpo13+1" in str(caught.value)


def test_a_file_that_is_not_what_the_index_says_is_refused(tmp_path: Path, mirror: Mirror) -> None:
    mirror.broken = b"x"
    with pytest.raises(
        InfraError, match=r"is not what its index says: its SHA-256 is [0-9a-f]{64}"
    ):
        take(tmp_path)
    mirror.broken = b""
    assert take(tmp_path).release == RELEASE  # nothing of the wrong one was left


def test_needs_in_another_version_are_no_part_of_a_kernel() -> None:
    stanza = Stanza(
        path="pool/a.deb",
        name="a",
        version="1",
        size=1,
        sha256="",
        depends="b (= 1), c (= 2), d (>= 1), e | f, g",
    )
    assert stanza.needs_of_same_version() == ("b",)
