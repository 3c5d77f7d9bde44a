# SPDX-License-Identifier: Apache-2.0
"""Debian unpacked from locked packages alone: mmdebstrap sees a repository of these and no other.

So neither mirror nor index is asked, and what is unpacked is what the lock names, today and later.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from lab.arch import Architecture
from lab.build.commands import need, output
from lab.config.lock import LockedPackage, LockedSet


def identity(locked: LockedSet) -> dict[str, str]:
    """Return what names these packages among the inputs of what is made of them.

    Args:
        locked: The packages.

    Returns:
        Version and digest of each, by name, so that `lab cache why` can tell which one changed.
    """
    return {package.name: f"{package.version} {package.sha256}" for package in locked.packages}


@contextmanager
def repository(locked: LockedSet, files: Sequence[Path], folder: Path) -> Iterator[Path]:
    """Lay out a repository of locked packages.

    Args:
        locked: The packages.
        files: Their files, in the same order.
        folder: The new folder for it, which is removed at the end; the files stay where they are.

    Yields:
        The sources.list that names it.
    """
    folder.mkdir()
    index = folder / "Packages"
    with index.open("w", encoding="utf-8") as text:
        for package, file in zip(locked.packages, files, strict=True):
            name = PurePosixPath(package.path).name
            (folder / name).symlink_to(file)
            text.write(_stanza(package, file, name))
    listed = folder / "sources.list"
    # Trusted: each file's digest is the lock's, and those came from an index that Debian signed.
    listed.write_text(f"deb [trusted=yes] copy:{folder} ./\n", encoding="utf-8")
    try:
        yield listed
    finally:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def command(variant: Sequence[str], target: Architecture, suite: str) -> list[str]:
    """Return the beginning of mmdebstrap's command line; its target and sources come last.

    Args:
        variant: More options.
        target: The architecture of what is unpacked.
        suite: Debian's suite.

    Returns:
        The program and its arguments, the suite last.

    Raises:
        UnavailableError: mmdebstrap is not installed.
    """
    return [
        need("mmdebstrap", package="mmdebstrap"),
        "--variant=extract", *variant,
        f"--architectures={target.debian}",
        "--aptopt=Apt::Install-Recommends false",
        suite,
    ]  # fmt: skip


def _stanza(package: LockedPackage, file: Path, name: str) -> str:
    control = output(["dpkg-deb", "--field", file], doing=f"reading {package}")
    places = f"Filename: ./{name}\nSize: {package.size}\nSHA256: {package.sha256}\n"
    return f"{control.strip()}\n{places}\n"
