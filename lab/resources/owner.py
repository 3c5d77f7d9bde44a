# SPDX-License-Identifier: Apache-2.0
"""The only place that identifies a process: a pid alone may be another process by now."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_START_TIME = 19  # field 22 of /proc/<pid>/stat, counted after the command in brackets
_STATE = 0


@dataclass(frozen=True, slots=True)
class Owner:
    """A process, told from any other that ever had its pid by start time and boot of L0."""

    pid: int
    started: int
    boot: str

    @classmethod
    def me(cls) -> Owner:
        """Return this process.

        Returns:
            Its identity.
        """
        return cls.of(os.getpid())

    @classmethod
    def of(cls, pid: int) -> Owner:
        """Return the process that has a pid now.

        Args:
            pid: The pid.

        Returns:
            Its identity.

        Raises:
            ProcessLookupError: There is none.
        """
        fields = _stat(pid)
        if fields is None:
            raise ProcessLookupError(f"no process {pid}")
        return cls(pid, int(fields[_START_TIME]), boot_id())

    @property
    def alive(self) -> bool:
        """Whether this very process still runs; a zombie does not."""
        fields = _stat(self.pid)
        if fields is None or self.boot != boot_id():
            return False
        return int(fields[_START_TIME]) == self.started and fields[_STATE] not in {"Z", "X"}

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this very process, and to no other that has its pid by now.

        Args:
            number: The signal.
        """
        with _pidfd(self.pid) as fd:
            if fd is not None and self.alive:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(fd, number)


def boot_id() -> str:
    """Read the boot id of L0.

    Returns:
        A UUID as text.

    Source: random(4), /proc/sys/kernel/random/boot_id.
    """
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


@contextlib.contextmanager
def _pidfd(pid: int) -> Iterator[int | None]:
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield fd
    finally:
        os.close(fd)
