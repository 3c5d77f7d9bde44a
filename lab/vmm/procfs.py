# SPDX-License-Identifier: Apache-2.0
"""What /proc says of another process: is it the same one, is it stopped, where are its mappings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from .errors import VmmError

STATE, START_TIME = 0, 19  # fields after the command's closing bracket


class Mapping(NamedTuple):
    """One line of /proc/PID/maps."""

    start: int
    end: int
    offset: int
    inode: int
    name: str


def _fields(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError as e:
        raise VmmError(f"there is no process {pid}") from e
    return text.rpartition(")")[2].split()


def start_time(pid: int) -> int:
    """Read when a process started; with the pid it names one life.

    Args:
        pid: The process.

    Returns:
        Clock ticks since boot.

    Raises:
        VmmError: There is no such process.

    Source: proc_pid_stat(5), field 22.
    """
    return int(_fields(pid)[START_TIME])


def parse_maps(text: str) -> list[Mapping]:
    """Parse /proc/PID/maps.

    Args:
        text: The content of the file.

    Returns:
        The mappings, in the order of the file.

    Source: proc_pid_maps(5).
    """
    found = []
    for line in text.splitlines():
        span, _, offset, _, inode, *name = line.split(maxsplit=5)
        start, _, end = span.partition("-")
        found.append(
            Mapping(
                int(start, 16), int(end, 16), int(offset, 16), int(inode), name[0] if name else ""
            )
        )
    return found


def maps(pid: int) -> list[Mapping]:
    """Read the mappings of a process.

    Args:
        pid: The process.

    Returns:
        The mappings, by rising address.

    Raises:
        VmmError: /proc/PID/maps cannot be read.
    """
    try:
        return parse_maps(Path(f"/proc/{pid}/maps").read_text())
    except OSError as e:
        raise VmmError(f"/proc/{pid}/maps cannot be read: {e.strerror}") from e


class Threads:
    """The threads that a process has now; their files stay open, for looking is then one read.

    Args:
        pid: The process.

    Raises:
        VmmError: There is no such process.
    """

    def __init__(self, pid: int) -> None:
        try:
            paths = list(Path(f"/proc/{pid}/task").glob("*/stat"))
            self._fds = [os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in paths]
        except OSError as e:
            raise VmmError(f"process {pid} is gone") from e
        if not self._fds:
            raise VmmError(f"there is no process {pid}")

    def letters(self) -> set[str]:
        """Read the states of the threads.

        Returns:
            The letters that occur among them, such as "T" for a stopped thread.

        Raises:
            VmmError: The process is gone.
        """
        try:
            stats = [os.pread(fd, 4096, 0) for fd in self._fds]
        except ProcessLookupError as e:
            raise VmmError("the process is gone") from e
        return {stat.rpartition(b")")[2].split()[STATE].decode() for stat in stats}

    def close(self) -> None:
        """Close the threads' files."""
        for fd in self._fds:
            os.close(fd)
