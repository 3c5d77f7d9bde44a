# SPDX-License-Identifier: Apache-2.0
"""The artifacts that were built: one folder each, named by the hash of what went into it.

A builder has a lock on its key, and so have the programs it started (they inherit the lock's
descriptor). A process that gets the lock therefore knows that a half-built folder has no owner.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from lab.build.cache_keys import MANIFEST, why_made
from lab.build.learned import learned, note
from lab.errors import ConfigError, InfraError
from lab.events import Progress, Sink, Step, nowhere

Value: TypeAlias = "str | int | bool | Sequence[Value] | Mapping[str, Value] | None"
MIB = 1 << 20
_SEALED = 64
_SHARED = 0o3022  # bits of a cache that several users write


def standard(override: Path | None = None) -> Cache:
    """Return the cache of this user: `override`, else `$LAB_CACHE`, else the usual place.

    Args:
        override: The folder that lab.toml names, if it names one.

    Returns:
        The cache.

    Raises:
        ConfigError: libvirt's QEMU, another user, could not read files there.
    """
    if override is None and (named := os.environ.get("LAB_CACHE")):
        override = Path(named).expanduser()
    if os.geteuid() != 0:
        # The session's QEMU is the same user.
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return Cache(override or home / "caretaker-lab")
    root = override or Path("/var/cache/caretaker-lab")
    for folder in (root, *root.resolve().parents):
        if folder.exists() and not folder.stat().st_mode & 0o001:
            raise ConfigError(
                f"cache '{root}': QEMU runs as another user under libvirt and cannot pass "
                f"'{folder}' (mode {folder.stat().st_mode & 0o777:04o})",
                hint="set LAB_CACHE or 'cache' in lab.toml to a folder that every user can enter",
            )
    return Cache(root)


def digest_of(inputs: Mapping[str, Value]) -> str:
    """Return the 16 hex digits that name an artifact made from `inputs`."""
    text = json.dumps(inputs, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file in hex, for use in an artifact's inputs."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Cache:
    """The artifacts under `root`, as `<kind>/<digest>/`; several labs may use it at once.

    Args:
        root: The folder; it need not exist.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def entry(
        self,
        kind: str,
        inputs: Mapping[str, Value],
        build: Callable[[Path], None],
        *,
        what: str,
        usually_s: float,
        sink: Sink,
        needs_mib: int = 64,
    ) -> Path:
        """Return the folder of the artifact made from `inputs`; build it if it is not there.

        Args:
            kind: The family, a folder name: "kernel".
            inputs: All that the result depends on; their hash is the artifact's name.
            build: Fills the empty folder that it is called with.
            what: What is built, as a phrase for people: "kernel stock for x86_64".
            usually_s: Seconds that `build` usually takes, where it was never made before.
            sink: Receives the steps when there is something to wait for.
            needs_mib: Free space that `build` needs, in MiB.

        Returns:
            The folder.

        Raises:
            InfraError: The disk is too full, or whatever `build` raises.
        """
        home = self.folder(kind)
        digest = digest_of(inputs)
        final = home / digest
        if final.exists():
            _use(final)
            return final
        with _locked(home / f".{digest}.lock", what, sink):
            if final.exists():  # another lab built it while this one waited
                return final
            _sweep(home, digest)
            self.require_space(needs_mib, what)
            if sink is not nowhere:
                sink(Step(what=f"{what} is made: {why_made(home, inputs)}"))
            usually_s = learned(self.root, what).usually_s(usually_s)
            began = time.monotonic()
            sink(Progress(what=what, done=0, total=1, usually=usually_s))
            _build_into(final, build, {"kind": kind, "what": what, "inputs": inputs})
            note(self.root, what, time.monotonic() - began)
            sink(Progress(what=what, done=1, total=1, usually=usually_s))
        return final

    def existing(self, kind: str, inputs: Mapping[str, Value]) -> Path | None:
        """Return the folder of an artifact if it is there already.

        Args:
            kind: The family.
            inputs: All that it depends on.

        Returns:
            The folder, or None.
        """
        path = self.root / kind / digest_of(inputs)
        if not path.exists():
            return None
        _use(path)
        return path

    def folder(self, name: str) -> Path:
        """Return a folder of the cache for what is no artifact, too; make it if it is missing.

        Args:
            name: Its name.

        Returns:
            The folder.

        Raises:
            ConfigError: The cache cannot be written.
        """
        path = self.root / name
        try:
            path.mkdir(parents=True, exist_ok=True)
            for made in (self.root, path):
                if made.stat().st_uid == os.geteuid():
                    made.chmod(0o755 | self.root.stat().st_mode & _SHARED)
        except OSError as e:
            raise ConfigError(
                f"cache '{self.root}': cannot make '{path}': {e.strerror}",
                hint="set LAB_CACHE, or 'cache' in lab.toml, to a folder that you can write",
            ) from e
        return path

    def require_space(self, mib: int, what: str) -> None:
        """Check that the disk has room: a full disk fails in stranger ways.

        Args:
            mib: MiB that must be free.
            what: What they are for, for the message.

        Raises:
            InfraError: There are fewer.
        """
        free = shutil.disk_usage(self.folder(".")).free // MIB
        if free < mib:
            raise InfraError(
                f"{what} needs {mib} MiB, and '{self.root}' has {free} MiB free",
                hint="'lab clean' empties the cache; LAB_CACHE moves it to another disk",
            )

    def size(self) -> int:
        """Count the bytes that the cache takes on the disk.

        Returns:
            Bytes.
        """
        return bytes_on_disk(self.root)

    def clear(self) -> int:
        """Remove all artifacts but those that are being built.

        A machine that runs from a removed file keeps it until it is shut off.

        Returns:
            The bytes that are free again.
        """
        before = self.size()
        for home in self.root.glob("[!.]*"):
            for path in home.iterdir() if home.is_dir() else ():
                if path.name.startswith("."):
                    continue
                self.discard(path)
            _sweep(home)
        return before - self.size()

    def discard(self, path: Path) -> bool:
        """Remove one artifact; for whoever looks, it is there whole or not at all.

        Args:
            path: Its folder.

        Returns:
            Whether it is gone; False if it is being built.
        """
        with _lock_if_free(path.parent / f".{path.name}.lock") as free:
            if free:
                going = path.parent / f".removed-{path.name}"
                _remove(going)
                path.rename(going)
                _remove(going)
            return free

    def adopt(self, kind: str, made: Path) -> bool:
        """Take in an artifact that was made elsewhere.

        Args:
            kind: Its family.
            made: Its folder, on the disk of the cache; its name is its key.

        Returns:
            Whether it came; False if there was one of that key.
        """
        final = self.folder(kind) / made.name
        with _locked(final.parent / f".{made.name}.lock", made.name, nowhere):
            if final.exists():
                return False
            _open_to_readers(made)
            made.rename(final)
            return True


def _build_into(final: Path, build: Callable[[Path], None], facts: Mapping[str, Value]) -> None:
    half = final.parent / f".building-{final.name}"
    half.mkdir(mode=0o755)
    began = time.monotonic()
    try:
        build(half)
        manifest = {
            **facts,
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - began, 1),
            "files": seal_of(half),
        }
        (half / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        _open_to_readers(half)
        half.rename(final)
    except BaseException:
        _remove(half)
        raise


def seal_of(folder: Path) -> dict[str, str]:
    """Return what tells later whether an artifact is as it was made.

    Args:
        folder: The artifact.

    Returns:
        The SHA-256 of each file, by path; of a tree of more than 64 files one, of their paths and
        sizes. Without the manifest.
    """
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and path != folder / MANIFEST
    )
    if len(files) <= _SEALED:
        return {str(path.relative_to(folder)): file_digest(path) for path in files}
    tree = "".join(f"{path.relative_to(folder)} {path.stat().st_size}\n" for path in files)
    return {"*": hashlib.sha256(tree.encode(errors="surrogateescape")).hexdigest()}


def bytes_on_disk(folder: Path) -> int:
    """Count the bytes that a folder takes on the disk.

    Args:
        folder: The folder; what vanishes meanwhile does not count.

    Returns:
        Bytes.
    """
    seen: set[int] = set()
    total = 0
    for above, _, names in os.walk(folder):
        for name in names:
            try:
                found = os.lstat(Path(above) / name)
            except FileNotFoundError:
                continue
            if found.st_ino not in seen:  # source trees share their files by hard links
                seen.add(found.st_ino)
                total += found.st_blocks * 512
    return total


def _use(final: Path) -> None:
    """Note that an artifact was used; of another user's it cannot be noted, and that is no harm."""
    with contextlib.suppress(OSError):
        os.utime(final / MANIFEST)


def _open_to_readers(folder: Path) -> None:
    folder.chmod(0o755)
    for path in folder.iterdir():  # trees of sources, further down, are for us alone
        if path.is_file() and not path.is_symlink():
            path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)


def _sweep(home: Path, mine: str = "") -> None:
    """Remove half-built folders whose builder, and all that it started, are dead."""
    for gone in home.glob(".removed-*"):
        _remove(gone)
    for half in home.glob(".building-*"):
        digest = half.name.removeprefix(".building-")
        if digest == mine:  # this process has its lock
            _remove(half)
            continue
        with (
            contextlib.suppress(PermissionError),  # another user's, who will remove it
            _lock_if_free(home / f".{digest}.lock") as mine_now,
        ):
            if mine_now:
                _remove(half)


@contextmanager
def _locked(path: Path, what: str, sink: Sink) -> Iterator[None]:
    with _lock_if_free(path) as mine:
        if mine:
            yield
            return
    sink(Step(what=f"waiting for another lab that builds {what}"))
    with _descriptor(path) as fd:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield


@contextmanager
def _lock_if_free(path: Path) -> Iterator[bool]:
    with _descriptor(path) as fd:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


@contextmanager
def _descriptor(path: Path) -> Iterator[int]:
    low = _opened(path)
    # Inherited: see this module's docstring. High: dash, and so mmdebstrap, counts up to 9 only.
    fd = fcntl.fcntl(low, fcntl.F_DUPFD, 100)
    os.close(low)
    try:
        yield fd
    finally:
        os.close(fd)  # and not LOCK_UN: that would take it from a child that still runs


def _opened(path: Path) -> int:
    try:
        with contextlib.suppress(FileNotFoundError):
            # Without O_CREAT: in a sticky folder that refuses another user's file.
            return os.open(path, os.O_RDWR)
        made = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        if path.parent.stat().st_mode & _SHARED:
            os.fchmod(made, 0o666)  # it holds nothing: who may enter the folder may wait for it
    except OSError as e:
        raise ConfigError(
            f"cache '{path.parent.parent}': '{path.parent.name}' cannot be written: {e.strerror}",
            hint="set LAB_CACHE, or 'cache' in lab.toml, to a folder that you can write; or have "
            "its owner share it: chgrp -R GROUP FOLDER; chmod -R g+ws FOLDER",
        ) from e
    return made


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
