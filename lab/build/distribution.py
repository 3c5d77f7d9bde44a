# SPDX-License-Identifier: Apache-2.0
"""A kernel of Debian's, exactly this package in exactly this version, from the mirror."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from lab.arch import Arch
from lab.build import prebuilt
from lab.build.archive import Archive, Stanza, first
from lab.build.cache import Cache, file_digest
from lab.build.kernel import KernelImage
from lab.build.pool import Pool
from lab.config.lock import LockedSet
from lab.errors import ConfigError, InfraError
from lab.events import Sink, Step, nowhere

_SHOWN = 6
_IMAGE, _BINARY, _PARTS = "linux-image-", "linux-binary-", ("linux-base-", "linux-modules-")
_FLAVOUR = re.compile(r"linux-image-\d[\d.]*(?:[+~][^-]*|-\d+)?-(.*)")
_MIB = 700
_USUALLY_S = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class DebianKernel:
    """A package with a kernel, or one that depends on those that have it.

    Attributes:
        package: Its name.
        version: Its version.
        suites: Where to look for it.
        mirrors: URLs of mirrors; those of this machine's apt if none.
        locked: Its files, by the lock; None to ask the index for them.
    """

    package: str
    version: str
    suites: tuple[str, ...]
    mirrors: tuple[str, ...] = ()
    locked: LockedSet | None = None


def take(
    name: str, arch: Arch, wanted: DebianKernel, cache: Cache, *, sink: Sink = nowhere
) -> KernelImage:
    """Fetch a kernel from the mirror; one that is in the cache needs no mirror, nor its index.

    Args:
        name: The kernel's name in lab.toml.
        arch: The architecture.
        wanted: Which kernel.
        cache: Where what is needed of it goes.
        sink: Receives the steps.

    Returns:
        The kernel.

    Raises:
        ConfigError: The mirror has no such version, or not all of it; the hint has what there is.
            Or as for `lab.build.prebuilt.take`.
        GoneError: All mirrors have dropped what the lock names.
        InfraError: The mirror does not answer, or gives something else than its index says.
        OfflineError: It is not in the cache, and the lab is offline.
    """
    package = wanted.package
    what = f"{package} {wanted.version}"

    def into(out: Path) -> None:
        if wanted.locked is not None:
            files = Pool(cache, wanted.mirrors).files(wanted.locked, what=what, sink=sink)
            prebuilt.make_of_packages(name, arch, files, out)
            return
        archive = Archive(cache, first(wanted.mirrors), wanted.suites, arch.traits)
        with tempfile.TemporaryDirectory(dir=out) as folder:
            files = [
                _fetched(archive, stanza, Path(folder), sink)
                for stanza in whole(archive, package, wanted.version, sink)
            ]
            prebuilt.make_of_packages(name, arch, files, out)

    made = cache.entry(
        "prebuilt",
        {"how": prebuilt.HOW, "arch": arch, "package": package, "version": wanted.version},
        into,
        what=f"kernel {what}",
        usually_s=_USUALLY_S,
        sink=sink,
        needs_mib=_MIB,
    )
    return prebuilt.made_in(made, name, arch, f"package {what}")


def whole(archive: Archive, package: str, version: str, sink: Sink) -> list[Stanza]:
    """Return a package, and those that it needs in the same version: since 6.18 there are three.

    Args:
        archive: Where they are.
        package: The package.
        version: Its version.
        sink: Receives the steps.

    Returns:
        What the index says of each, the package itself first.

    Raises:
        ConfigError: The archive has no such version, or not all of it; the hint has what there is.
    """
    offered = [found.version for found in archive.versions(package, sink)]
    if version not in offered:
        message = f"no version {version!r} of {package} in {archive}"
        raise ConfigError(message, hint=_hint(archive, offered, package))
    found: dict[str, Stanza] = {}
    todo = [package]
    while todo:
        name = todo.pop(0)
        stanza = archive.stanza(name, version)
        if stanza is None:
            raise ConfigError(
                f"{package} {version} needs {name} {version}, and that is not in {archive}: "
                "the mirror has dropped a part of this kernel",
                hint=_hint(archive, [v for v in offered if v != version], package),
            )
        found[name] = stanza
        todo += [n for n in stanza.needs_of_same_version() if n not in found and n not in todo]
    return list(found.values())


def _hint(archive: Archive, offered: list[str], package: str) -> str:
    if offered:
        return f"set 'version' to one that it has: {', '.join(offered[:_SHOWN])}"
    flavour = _FLAVOUR.sub(r"\1", package)
    same = {n for n in archive.names(_IMAGE) if _FLAVOUR.sub(r"\1", n) == flavour}
    newest = sorted(same - _partial(archive), key=_natural, reverse=True)[:_SHOWN]
    if not newest:
        return "set 'package' or 'suites' to where there is one"
    return f"set 'package' to one that it has, as {', '.join(newest)}"


def _partial(archive: Archive) -> set[str]:
    """Return the images of which a mirror has dropped a part: signed ones are listed for longer."""
    parts = {part: set(archive.names(part)) for part in _PARTS}
    releases = {name.removeprefix(_BINARY) for name in archive.names(_BINARY)}
    return {
        f"{_IMAGE}{release}"
        for release in releases
        if any(f"{part}{release}" not in there for part, there in parts.items())
    }


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(n or 0), text) for n, text in re.findall(r"(\d+)|(\D+)", name)]


def _fetched(archive: Archive, stanza: Stanza, into: Path, sink: Sink) -> Path:
    what = f"{stanza.name} {stanza.version}"
    sink(Step(what=f"downloading {what} ({stanza.size >> 20} MiB)"))
    file = archive.download(stanza.name, stanza.version, into)
    digest = file_digest(file)
    if digest != stanza.sha256:
        raise InfraError(
            f"{what} of {archive} is not what its index says: its SHA-256 is {digest}, "
            f"expected {stanza.sha256}",
            hint="try again; if it stays so, set 'mirror' in lab.toml to another one",
        )
    return file
