# SPDX-License-Identifier: Apache-2.0
"""The file that a guest's serial output goes to."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from ..errors import VmmError
from .journal import Journal


def appending(path: Path) -> Callable[[bytes], object]:
    """Open a console file to append to it; any kind of file will do.

    Args:
        path: The file; made if it is missing.

    Returns:
        A function that writes bytes at its end.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    return lambda content: os.write(fd, content)


def open_file(path: Path) -> int:
    """Open a console file to write at chosen offsets.

    Args:
        path: The file; made if it is missing.

    Returns:
        Its descriptor.

    Raises:
        VmmError: The file is not a regular one, so its length does not say what was written.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise VmmError(f"console '{path}' of a guest that may be orphaned must be a regular file")
    return fd


def journaled(fd: int, journal: Journal) -> Callable[[bytes], object]:
    """Write where the journal says: an exit that is served again prints at the same place.

    Args:
        fd: The console file.
        journal: The guest's state, whose `console_at` moves on.

    Returns:
        A function that writes bytes there.
    """

    def write(content: bytes) -> None:
        while content:
            written = os.pwrite(fd, content, journal.console_at)
            journal.console_at += written
            content = content[written:]

    return write
