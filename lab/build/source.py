# SPDX-License-Identifier: Apache-2.0
"""A kernel's source: fetched to the disk, and proven to be the requested one."""

from __future__ import annotations

import re
import shutil
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from lab.arch import architecture
from lab.build import local_tree, repository
from lab.build.archive import Archive, Found, first
from lab.build.cache import Cache, file_digest
from lab.build.commands import need, output
from lab.build.pool import Pool
from lab.config.lock import LockedSet
from lab.errors import ConfigError, InfraError
from lab.events import Progress, Sink, Step

UNPACKED_MIB = 2200
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class DebianSource:
    """Debian's `package` (linux-source-7.3), the newest that any of `suites` has.

    `version` narrows it: "7.3" to the newest 7.3.x, "7.3.4-1~bpo13+1" to that very one.
    """

    package: str
    suites: tuple[str, ...]
    version: str | None = None
    mirrors: tuple[str, ...] = ()
    locked: LockedSet | None = None
    """Its file, by the lock; None to ask the index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TarballSource:
    """A tarball, by URL or path, and the SHA-256 that it must have."""

    url: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GitSource:
    """A tag, branch or commit of a git repository, by URL or path."""

    url: str
    ref: str
    commit: str | None = None
    """What `ref` is, by the lock; None to ask the repository."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeSource:
    """A tree on this machine, as it is now; it is read, never written."""

    path: Path


Source: TypeAlias = DebianSource | TarballSource | GitSource | TreeSource


@dataclass(frozen=True, slots=True)
class SourceTree:
    """An unpacked kernel source: its place, its name in reports, and its identity."""

    path: Path
    name: str
    digest: str
    ours: bool
    """It is in the cache, so hard links to its files are safe to make."""


def fetch(source: Source, cache: Cache, sink: Sink) -> SourceTree:
    """Get `source` onto the disk, from the cache if it is there.

    Args:
        source: Where it comes from.
        cache: Where it is kept.
        sink: Receives the steps.

    Returns:
        The unpacked source.

    Raises:
        ConfigError: It is not there, is not a kernel tree, or is not what its checksum says.
        InfraError: It could not be fetched.
    """
    match source:
        case DebianSource():
            return _debian(source, cache, sink)
        case TarballSource():
            return _tarball(source, cache, sink)
        case GitSource():
            return _git(source, cache, sink)
        case TreeSource():
            return _local(source.path)


def check_is_kernel(tree: Path, where: str) -> None:
    """Check that `tree` is a Linux source tree that kconfig can configure.

    Args:
        tree: The folder.
        where: What it came from, for the message.

    Raises:
        ConfigError: It is none.
    """
    for needed in ("Makefile", "Kconfig", "scripts/kconfig/Makefile"):
        if not (tree / needed).is_file():
            raise ConfigError(f"{where} is not a Linux source tree: it has no '{needed}'")


def _debian(source: DebianSource, cache: Cache, sink: Sink) -> SourceTree:
    # The package is the same for all architectures.
    archive = Archive(cache, first(source.mirrors), source.suites, architecture("x86_64"))
    locked = source.locked
    version = locked.version if locked else _version(source, archive, cache, sink)
    name = f"{source.package} {version}"

    def build(out: Path) -> None:
        if locked:
            (file,) = Pool(cache, source.mirrors).files(locked, what=f"source {name}", sink=sink)
            package = out / file.name
            package.symlink_to(file)
        else:
            package = archive.download(source.package, version, out)
        output(["dpkg-deb", "--extract", package, out / "deb"], doing=f"unpacking {package.name}")
        tarballs = sorted((out / "deb/usr/src").glob("linux-source-*.tar.xz"))
        if not tarballs:
            raise ConfigError(f"{source.package} {version} holds no usr/src/linux-source-*.tar.xz")
        _unpack(tarballs[0], out / "tree")
        shutil.rmtree(out / "deb")
        package.unlink()

    need("dpkg-deb", package="dpkg")
    path = cache.entry(
        "source",
        {"package": source.package, "version": version},
        build,
        what=f"source {name}",
        usually_s=40,
        sink=sink,
        needs_mib=UNPACKED_MIB,
    )
    return SourceTree(path / "tree", name, path.name, ours=True)


def _version(source: DebianSource, archive: Archive, cache: Cache, sink: Sink) -> str:
    wanted = source.version
    if wanted and cache.existing("source", {"package": source.package, "version": wanted}):
        return wanted  # no mirror is needed
    return choose(source.package, wanted, archive, sink).version


def choose(package: str, wanted: str | None, archive: Archive, sink: Sink) -> Found:
    """Return the version of a source package that is the newest today.

    Args:
        package: Its name.
        wanted: The version, or its beginning: "7.3" is any 7.3.x; None for any.
        archive: Where it is looked for.
        sink: Receives the steps.

    Returns:
        The newest that fits.

    Raises:
        ConfigError: There is none; the hint has what there is.
        InfraError: The mirror does not answer.
    """
    found = archive.versions(package, sink)
    if not found:
        raise ConfigError(
            f"no package '{package}' in {archive}",
            hint="set 'package', 'suites' or 'mirror' to where there is one",
        )
    for candidate in found:  # newest first
        if wanted in {None, candidate.version} or candidate.version.startswith(f"{wanted}."):
            sink(Step(what=f"{package} is at {candidate.version} in {candidate.suite}"))
            return candidate
    offered = ", ".join(f"{candidate.version} ({candidate.suite})" for candidate in found)
    raise ConfigError(
        f"no version '{wanted}' of {package} in {archive}",
        hint=f"set 'version' to one in the archive: {offered}",
    )


def _tarball(source: TarballSource, cache: Cache, sink: Sink) -> SourceTree:
    if not re.fullmatch(r"[0-9a-f]{64}", source.sha256):
        raise ConfigError(
            f"source '{source.url}': sha256 is 64 hex digits, not '{source.sha256}'",
            hint="take it from the sha256sums.asc beside the tarball",
        )

    def build(out: Path) -> None:
        tarball = out / source.url.rsplit("/", 1)[-1]
        _download(source.url, tarball, sink)
        got = file_digest(tarball)
        if got != source.sha256:
            raise ConfigError(
                f"source '{source.url}' has another content than expected: "
                f"its SHA-256 is {got}, expected {source.sha256}"
            )
        _unpack(tarball, out / "tree")
        tarball.unlink()

    name = source.url.rsplit("/", 1)[-1]
    path = cache.entry(
        "source",
        {"tarball": source.sha256},
        build,
        what=f"source {name}",
        usually_s=90,
        sink=sink,
        needs_mib=UNPACKED_MIB,
    )
    return SourceTree(path / "tree", name, path.name, ours=True)


def _git(source: GitSource, cache: Cache, sink: Sink) -> SourceTree:
    need("git", package="git")
    commit = source.commit or repository.commit_of(source.url, source.ref)

    def build(out: Path) -> None:
        repository.check_out(source.url, source.ref, commit, out / "tree")
        check_is_kernel(out / "tree", f"'{source.ref}' of '{source.url}'")

    path = cache.entry(
        "source",
        {"commit": commit},
        build,
        what=f"source {source.ref} of {source.url}",
        usually_s=180,
        sink=sink,
        needs_mib=UNPACKED_MIB,
    )
    return SourceTree(path / "tree", f"git {source.ref} {commit[:12]}", path.name, ours=True)


def _local(path: Path) -> SourceTree:
    if not path.is_dir():
        raise ConfigError(f"source '{path}' is not a folder")
    check_is_kernel(path, f"source '{path}'")
    return SourceTree(
        path,
        f"tree {path.name}",
        local_tree.signature(path, local_tree.files_of(path)),
        ours=False,
    )


def _download(url: str, into: Path, sink: Sink) -> None:
    if "://" not in url:
        if not Path(url).is_file():
            raise ConfigError(f"source '{url}' is not a file")
        shutil.copyfile(url, into)
        return
    what = f"downloading {url}"
    try:
        with urllib.request.urlopen(url, timeout=60) as answer, into.open("wb") as file:  # noqa: S310
            total = int(answer.headers.get("Content-Length") or 0) // _BLOCK_BYTES
            for done, block in enumerate(iter(lambda: answer.read(_BLOCK_BYTES), b"")):
                file.write(block)
                sink(Progress(what=what, done=min(done, total), total=total))
    except (urllib.error.URLError, OSError, ValueError) as e:
        raise InfraError(f"{what}: {e}") from e


def _unpack(tarball: Path, into: Path) -> None:
    into.mkdir()
    output(
        ["tar", "--extract", "--file", tarball, "--directory", into, "--strip-components=1"],
        doing=f"unpacking {tarball.name}",
    )
    check_is_kernel(into, f"'{tarball.name}'")
