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
    """Give the folder for what the lab must remember between commands, made if need be.

    Root's is the machine's; anybody else's is their own. QEMU, as another user, must be able to
    enter it, so it is open; keys and seeds are in folders of runs, which are not.
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
    """Hold the lock on `path`; it falls when this process dies, in whatever way.

    Raises:
        DeadlineError: others held it until `by`; the message says `what` was waited for.
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
    """A JSON list of entries, each with an owner; the entries of the dead are dropped."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextlib.contextmanager
    def opened(self, by: Deadline | None = None) -> Iterator[list[Entry]]:
        """Give the entries of the living, alone on the machine; write back what they became."""
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
        except json.JSONDecodeError:  # cut short by a power loss; nobody of then is alive
            return []
        return entries if isinstance(entries, list) else []


def owned(owner: Owner, **rest: object) -> Entry:
    """Make an entry of a ledger."""
    return {"owner": asdict(owner), **rest}


def owner_of(entry: Entry) -> Owner:
    """Say whose entry it is."""
    return Owner(**entry["owner"])
