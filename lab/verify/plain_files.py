# SPDX-License-Identifier: Apache-2.0
"""Files of a run as they lie there: regular ones only, of which no link leads out of its folder."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from lab.errors import ConfigError

_CHUNK = 1 << 20
_MOST = 1 << 28  # bytes of a file that is read whole


def read_regular(path: Path) -> bytes:
    """Read a file whole.

    Args:
        path: The file.

    Returns:
        Its bytes, 256 MiB at most.

    Raises:
        ConfigError: It is not there, is a symbolic link or no regular file, or is larger.
    """
    with _opened(path) as file:
        data = file.read(_MOST + 1)
    if len(data) > _MOST:
        raise ConfigError(f"{path}: has more than {_MOST} bytes")
    return data


def digest_of(path: Path) -> str:
    """Hash a file.

    Args:
        path: The file.

    Returns:
        Its SHA-256, in hex.

    Raises:
        ConfigError: It is not there, is a symbolic link, or no regular file.
    """
    total = hashlib.sha256()
    with _opened(path) as file:
        while piece := file.read(_CHUNK):
            total.update(piece)
    return total.hexdigest()


def digests_in(folder: Path) -> dict[str, str]:
    """Hash each file in a folder.

    Args:
        folder: The folder; one that does not exist has no files.

    Returns:
        SHA-256 in hex, by the file's path in the folder.

    Raises:
        ConfigError: Something in it is no regular file.
    """
    if not folder.is_dir():
        return {}
    names = files_below(folder.parent, folder.name)
    return {name.partition("/")[2]: digest_of(folder.parent / name) for name in names}


def files_below(folder: Path, part: str) -> list[str]:
    """List what is no folder in a part of a run's folder, symbolic links included.

    Args:
        folder: The run's.
        part: The part: a folder in it, or a file.

    Returns:
        Paths relative to the run's folder, in order.

    Raises:
        ConfigError: A folder cannot be listed.
    """
    top = folder / part
    if top.is_symlink() or not top.is_dir():
        return [part] if os.path.lexists(top) else []
    found: list[str] = []
    try:
        with os.scandir(top) as entries:
            for entry in entries:
                name = f"{part}/{entry.name}"
                deeper = entry.is_dir(follow_symlinks=False)
                found += files_below(folder, name) if deeper else [name]
    except OSError as e:
        raise ConfigError(f"{top}: cannot be listed: {e.strerror}") from e
    return sorted(found)


def why_not_inside(folder: Path, name: str) -> str:
    """Find why a path leads out of a folder, or might.

    Args:
        folder: The folder.
        name: The path, relative to it.

    Returns:
        Why; "" if it leads to something in the folder, and over no symbolic link.
    """
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or not pure.parts or "\0" in name:
        return "leads out of the run's folder"
    at = folder
    for part in pure.parts:
        at /= part
        if os.path.islink(at):  # noqa: PTH114 - which is False for what can be no path at all
            return "is a symbolic link" if at == folder / pure else f"lies behind the link {at}"
    return ""


def printable(text: str) -> str:
    """Escape what may not be printed: names of files may move a cursor, or be no text.

    Args:
        text: Any text.

    Returns:
        The text, each control character by its escape in Python.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as e:
        why = "is a symbolic link" if path.is_symlink() else getattr(e, "strerror", None) or e
        raise ConfigError(f"{path}: cannot be read: {why}") from e
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise ConfigError(f"{path}: cannot be read: it is no regular file")
    with open(fd, "rb") as file:  # noqa: PTH123 - it is open already
        try:
            yield file
        except OSError as e:
            raise ConfigError(f"{path}: cannot be read: {e.strerror}") from e
