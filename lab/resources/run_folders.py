# SPDX-License-Identifier: Apache-2.0
"""Folders of runs in the state folder, and which user can read what is in them."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import stat
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.errors import ConfigError
from lab.resources.owner import Owner

_OWNER_FILE = "owner.json"


@dataclass(frozen=True, slots=True)
class QemuUser:
    """The user that QEMU runs as; libvirt then neither chowns nor relabels the machine's files."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A run's folder in the state folder: console, seed, keys. Not evidence, that is reports/."""

    path: Path
    owner: Owner | None

    @property
    def run_id(self) -> str:
        """The run that the folder belongs to."""
        return self.path.name

    @property
    def abandoned(self) -> bool:
        """Whether the lab process that made it is gone."""
        return self.owner is None or not self.owner.alive

    def remove(self) -> None:
        """Delete the folder and what is in it; if that was done already, do nothing."""
        if self.path.exists():
            shutil.rmtree(self.path)


def new_run_folder(state: Path, run_id: str, user: QemuUser | None = None) -> RunFolder:
    """Make the folder of a run; only this user may list it, and QEMU may open files in it.

    Args:
        state: The state folder.
        run_id: The run.
        user: The user that QEMU runs as; None if it is this one.

    Returns:
        The folder.
    """
    runs = state / "runs"
    runs.mkdir(mode=0o755, parents=True, exist_ok=True)
    # Its owner must be in it from the first moment: it is filled under a name that is no run.
    making = runs / f".{run_id}.{os.getpid()}"
    making.mkdir(mode=0o700)
    me = Owner.me()
    (making / _OWNER_FILE).write_text(json.dumps(asdict(me)), encoding="utf-8")
    if user is not None:
        os.chown(making, -1, user.gid)
        making.chmod(0o710)
    return RunFolder(making.rename(runs / run_id), me)


def run_folders(state: Path) -> list[RunFolder]:
    """List the folders of runs, in use or left over.

    Args:
        state: The state folder.

    Returns:
        The folders, by run id.
    """
    runs = state / "runs"
    if not runs.is_dir():
        return []
    return [RunFolder(p, _owner_in(p)) for p in sorted(runs.iterdir()) if p.is_dir()]


def _owner_in(folder: Path) -> Owner | None:
    try:
        return Owner(**json.loads((folder / _OWNER_FILE).read_text(encoding="utf-8")))
    except (FileNotFoundError, json.JSONDecodeError, TypeError):
        return None


def let_qemu_read(path: Path, user: QemuUser | None) -> None:
    """Open a file to QEMU and to no other user: a seed has a machine's private key in it.

    Args:
        path: The file.
        user: The user that QEMU runs as; None if it is this one.
    """
    if user is None:
        path.chmod(0o600)
    else:
        path.chmod(0o600)  # before it has another group
        os.chown(path, -1, user.gid)
        path.chmod(0o640)


def must_be_readable(paths: Iterable[Path], user: QemuUser) -> None:
    """Check that QEMU can read files; libvirt's own message names no cause.

    Args:
        paths: The files.
        user: The user that QEMU runs as.

    Raises:
        ConfigError: It cannot; the message names the file or folder that is closed to it.
    """
    groups = _groups(user)
    for path in paths:
        for step in (*reversed(path.resolve().parents), path.resolve()):
            status = step.stat()
            need = stat.S_IXOTH if stat.S_ISDIR(status.st_mode) else stat.S_IROTH
            if not _has(status, need, user, groups):
                raise ConfigError(
                    f"QEMU runs as user {user.uid} and cannot read {path}: "
                    f"{step} has mode {stat.S_IMODE(status.st_mode):04o}",
                    hint="set 'cache' and 'state' in lab.toml to folders that every user may enter",
                )


def _has(status: os.stat_result, need: int, user: QemuUser, groups: frozenset[int]) -> bool:
    if status.st_uid == user.uid:
        need <<= 6
    elif status.st_gid in groups:
        need <<= 3
    return bool(status.st_mode & need)


def _groups(user: QemuUser) -> frozenset[int]:
    try:
        name = pwd.getpwuid(user.uid).pw_name
    except KeyError:
        return frozenset({user.gid})
    return frozenset(os.getgrouplist(name, user.gid))
