# SPDX-License-Identifier: Apache-2.0
"""What several lab processes on one machine agree on: locks, and small ledgers under a lock."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lab.deadline import Deadline, until
from lab.errors import ConfigError
from lab.resources.owner import Owner

Entry = dict[str, Any]


def state_dir(configured: Path | None = None) -> Path:
    """Return the folder for what the lab must remember between commands; make it if it is missing.

    Root's is the machine's; any other user's is that user's. QEMU, as another user, must be able to
    enter it, so it is open; keys and seeds are in folders of runs, which are not.

    Args:
        configured: The folder that lab.toml names, if it names one.

    Returns:
        The folder.

    Raises:
        ConfigError: The folder cannot be made.
    """
    if configured is not None:
        folder = configured
    elif os.geteuid() == 0:
        folder = Path("/var/lib/caretaker-lab")
    else:
        home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
        folder = Path(home) / "caretaker-lab"
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as e:
        raise ConfigError(
            f"cannot make the state folder {folder}: {e.strerror}",
            hint="set 'state' in lab.toml to a folder that you may write to",
        ) from e
    return folder


@contextlib.contextmanager
def flocked(path: Path, what: str, by: Deadline, *, shared: bool = False) -> Iterator[None]:
    """Take the lock on a file for the block; it is free again when this process dies, in any way.

    Args:
        path: The file; made if it is missing.
        what: What is being waited for, as a phrase.
        by: Until when to wait.
        shared: Take it with other readers.

    Raises:
        DeadlineError: Other processes had it until `by`; the message has `what`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    with path.open("a", encoding="utf-8") as file:

        def attempt() -> bool | None:
            try:
                fcntl.flock(file, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                return None
            return True

        until(what, attempt, by, every=0.05)
        yield


class Ledger:
    """A JSON list of entries, each with an owner; the entries of dead processes are dropped.

    Args:
        path: The file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextlib.contextmanager
    def opened(self, by: Deadline | None = None) -> Iterator[list[Entry]]:
        """Open the ledger, alone on the machine, and write it back at the end of the block.

        Args:
            by: Until when to wait for its lock; 30 s if None.

        Yields:
            The entries of living processes; the block may change the list.

        Raises:
            DeadlineError: Another process had it open until `by`.
        """
        lock = self._path.with_suffix(".lock")
        with flocked(lock, f"the lock on {self._path}", by or Deadline.after(30)):
            entries = [e for e in self._read() if owner_of(e).alive]
            yield entries
            new = self._path.with_suffix(".new")
            new.write_text(json.dumps(entries, indent=1), encoding="utf-8")
            new.replace(self._path)

    def _read(self) -> list[Entry]:
        try:
            entries = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return []
        except json.JSONDecodeError:  # cut short by a power loss: no owner in it is alive
            return []
        return entries if isinstance(entries, list) else []


def owned(owner: Owner, **rest: object) -> Entry:
    """Make an entry of a ledger.

    Args:
        owner: The process with whose end the entry is void.
        rest: Whatever else the entry says, all JSON.

    Returns:
        The entry.
    """
    return {"owner": asdict(owner), **rest}


def owner_of(entry: Entry) -> Owner:
    """Return an entry's owner.

    Args:
        entry: The entry.

    Returns:
        Its owner.
    """
    return Owner(**entry["owner"])
