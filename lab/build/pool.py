# SPDX-License-Identifier: Apache-2.0
"""Locked packages, on this disk: each is fetched once, by path and digest; no index is asked."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lab.build import archive, download
from lab.build.cache import MIB, Cache
from lab.config.lock import LockedPackage, LockedSet
from lab.errors import GoneError, InfraError, LabError
from lab.events import Progress, Sink, nowhere

_AT_ONCE = 4
_SHOWN = 6
_BYTES_PER_S = 20e6  # of a mirror that is near


@dataclass(frozen=True, slots=True)
class Pool:
    """Where locked packages come from: the cache, else mirrors.

    Attributes:
        cache: Where they are kept.
        mirrors: URLs that lab.toml names, in their order; those of this machine's apt if none.
    """

    cache: Cache
    mirrors: tuple[str, ...] = ()

    def files(self, locked: LockedSet, *, what: str, sink: Sink) -> list[Path]:
        """Return the files of locked packages, fetched if they are not in the cache.

        Args:
            locked: The packages.
            what: What they are for, as a phrase: "kernel linux-image-amd64 7.3.4-1".
            sink: Receives the steps.

        Returns:
            One file a package, in the lock's order; their names are those of the mirror.

        Raises:
            GoneError: All mirrors have dropped one of them.
            InfraError: No mirror gave it.
            OfflineError: One is not in the cache, and the lab is offline.
        """
        missing = [p for p in locked.packages if self._there(p) is None]
        if missing:
            try:
                self._fetch(missing, what, sink)
            except GoneError as e:
                gone = next((p for p in missing if str(e).startswith(str(p))), missing[0])
                raise GoneError(
                    f"{what}: {e.args[0]}\n{self._offered(gone, locked)}", hint=e.hint
                ) from e
        return [self._kept(p) / PurePosixPath(p.path).name for p in locked.packages]

    def _there(self, package: LockedPackage) -> Path | None:
        return self.cache.existing("package", _inputs(package))

    def _kept(self, package: LockedPackage) -> Path:
        there = self._there(package)
        if there is None:
            raise InfraError(
                f"{package} was removed from cache '{self.cache.root}' while it was needed",
                hint="type the same again",
            )
        return there

    def _fetch(self, missing: Sequence[LockedPackage], what: str, sink: Sink) -> None:
        total = sum(package.size for package in missing)
        tell = _Teller(f"downloading packages of {what}", total, sink)
        mirrors = self.mirrors or archive.mirrors()  # which takes apt half a second to say
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            done = [pool.submit(self._one, package, mirrors, tell) for package in missing]
            try:
                for one in done:
                    one.result()
            finally:
                for one in done:  # those that have not begun
                    one.cancel()

    def _offered(self, package: LockedPackage, locked: LockedSet) -> str:
        """Return what the lock could move to, if that can be told."""
        index = archive.Archive(
            self.cache, archive.first(self.mirrors), locked.suites, locked.arch.traits
        )
        try:
            found = index.versions(package.name, nowhere)
        except LabError as e:
            return f"what there is instead cannot be told: {e.args[0]}"
        if not found:
            return f"{index} has no {package.name} of any version"
        there = ", ".join(f"{one.version} ({one.suite})" for one in found[:_SHOWN])
        return f"of {package.name} there is now: {there}"

    def _one(self, package: LockedPackage, mirrors: Sequence[str], tell: _Teller) -> None:
        self.cache.entry(
            "package",
            _inputs(package),
            lambda out: self._download(package, mirrors, out, tell),
            what=str(package),
            usually_s=package.size / _BYTES_PER_S,
            sink=nowhere,
            needs_mib=package.size // MIB + 1,
        )

    def _download(
        self, package: LockedPackage, mirrors: Sequence[str], out: Path, tell: download.Tell
    ) -> None:
        """Fetch it; what was fetched stays if that fails, for the next time."""
        begun = self.cache.folder("begun") / package.sha256
        wanted = download.Wanted(
            what=str(package), path=package.path, size=package.size, sha256=package.sha256
        )
        download.fetch(wanted, mirrors, begun, tell)
        begun.rename(out / PurePosixPath(package.path).name)


class _Teller:
    """Add up the bytes that several downloads fetch."""

    def __init__(self, what: str, total: int, sink: Sink) -> None:
        self._what, self._total, self._sink = what, total, sink
        self._done, self._lock = 0, threading.Lock()
        sink(Progress(what=what, done=0, total=self._mib(total), unit="MiB"))

    def __call__(self, more: int) -> None:
        with self._lock:
            before, self._done = self._done, min(self._done + more, self._total)
            if self._done >> 20 != before >> 20 or self._done == self._total:
                done, total = self._mib(self._done), self._mib(self._total)
                self._sink(Progress(what=self._what, done=done, total=total, unit="MiB"))

    @staticmethod
    def _mib(size: int) -> int:
        return -(-size // MIB)


def _inputs(package: LockedPackage) -> dict[str, str]:
    return {"sha256": package.sha256, "name": PurePosixPath(package.path).name}
