# SPDX-License-Identifier: Apache-2.0
"""A machine's serial console while it grows: a wait on it ends at once when the host dies."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from lab.deadline import Deadline, until
from lab.errors import DeadlineError, HostDiedError
from lab.kernlog import Finding, findings

_TAIL = 5  # lines that a message shows


@dataclass(frozen=True, slots=True)
class Mark:
    """A place on a console: how many complete lines had come."""

    line: int


def _still_there() -> str | None:
    return None


class Console:
    """The console file at `path`, from power-on, across kexec and reset.

    Args:
        path: The file that QEMU (or virtlogd for it) writes; it need not exist yet.
        host: The machine's name, for messages.
        ended: Returns what ended the machine, None while it is there: `Domain.ended`.
    """

    def __init__(
        self, path: Path, host: str = "the host", ended: Callable[[], str | None] = _still_there
    ) -> None:
        self.path = path
        self._host = host
        self._ended = ended
        self._lock = Lock()
        self._inode: int | None = None
        self._offset = 0
        self._rest = b""
        self._lines: list[str] = []
        self._forgiven = 0
        self._judged = 0
        self._fatal: Finding | None = None

    def lines(self) -> list[str]:
        """Return every complete line that has come.

        Returns:
            The lines, without line ends.
        """
        with self._lock:
            self._read()
            return list(self._lines)

    @property
    def text(self) -> str:
        """All that has come, with the incomplete last line."""
        with self._lock:
            self._read()
            return "\n".join([*self._lines, self._rest.decode("utf-8", "replace")])

    def mark(self) -> Mark:
        """Return where the console is now, for a later `wait_for(..., since=mark)`.

        Returns:
            The place.
        """
        return Mark(len(self.lines()))

    def forgive(self) -> None:
        """Declare what has come so far expected: its panics end no wait any more."""
        with self._lock:
            self._read()
            self._forgiven = self._judged = len(self._lines)
            self._fatal = None

    def findings(self, since: Mark | None = None) -> list[Finding]:
        """Find what a kernel complained of.

        Args:
            since: Look only at what came after it; the default is power-on.

        Returns:
            The findings; line numbers count from `since`.
        """
        return findings(self.lines()[since.line if since else 0 :])

    def fatal(self) -> Finding | None:
        """Find the first fatal complaint that was not forgiven.

        Returns:
            The finding, or None.
        """
        with self._lock:
            self._read()
            if self._fatal is None and self._judged < len(self._lines):
                # A report is several lines, and may have been cut by our last look.
                start = max(self._forgiven, self._judged - 20)
                fresh = findings(self._lines[start:])
                self._fatal = next((f for f in fresh if f.fatal), None)
                self._judged = len(self._lines)
            return self._fatal

    def wait_for(
        self,
        pattern: str | re.Pattern[str],
        by: Deadline,
        *,
        since: Mark | None = None,
        dying: bool = False,
    ) -> re.Match[str]:
        """Wait for a line that matches `pattern`.

        Args:
            pattern: A regular expression, searched in each complete line.
            by: When to give up.
            since: Look only at what came after it; the default is power-on.
            dying: The host's death is expected: neither a panic nor its end stops the wait.

        Returns:
            The match.

        Raises:
            HostDiedError: A fatal finding came, or the machine ended; the message has its line.
            DeadlineError: `by` has passed; the message has the last lines.
        """
        sought = re.compile(pattern)
        at = since.line if since else 0

        def look() -> re.Match[str] | None:
            nonlocal at
            # asked first: its last lines still count
            ended = None if dying else self._ended()
            lines = self.lines()
            for line in lines[at:]:
                at += 1
                if match := sought.search(line):
                    return match
            if not dying:
                self._raise_if_dead(ended, sought.pattern)
            return None

        try:
            return until(f"'{sought.pattern}' on the console of {self._host}", look, by, every=0.05)
        except DeadlineError as e:
            e.add_note(f"last lines of {self.path}:\n{self._last()}")
            raise

    def _raise_if_dead(self, ended: str | None, awaited: str) -> None:
        fatal = self.fatal()
        if fatal is not None:
            raise HostDiedError(
                f"{self._host} died while '{awaited}' was awaited: {fatal.text}",
                hint=f"read {self.path}",
            )
        if ended is not None:
            raise HostDiedError(
                f"{self._host} went away while '{awaited}' was awaited: {ended}",
                hint=f"read {self.path}",
            )

    def _last(self) -> str:
        return "\n".join(self.text.splitlines()[-_TAIL:]) or "(nothing came)"

    def _read(self) -> None:
        try:
            with self.path.open("rb") as file:
                inode = os.fstat(file.fileno()).st_ino
                if self._inode not in {None, inode}:
                    self._finish_rolled_over()
                self._inode = inode
                file.seek(self._offset)
                new = file.read()
        except FileNotFoundError:
            return
        self._offset += len(new)
        self._take(new)

    def _finish_rolled_over(self) -> None:
        # A virtlogd that the lab did not start renames the file at 2 MiB to <file>.0.
        former = self.path.with_name(self.path.name + ".0")
        if former.exists() and former.stat().st_ino == self._inode:
            with former.open("rb") as file:
                file.seek(self._offset)
                self._take(file.read())
        self._offset = 0

    def _take(self, new: bytes) -> None:
        if not new:
            return
        *whole, self._rest = (self._rest + new).split(b"\n")
        self._lines += [line.decode("utf-8", "replace").rstrip("\r") for line in whole]
