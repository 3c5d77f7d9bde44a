# SPDX-License-Identifier: Apache-2.0
"""`lab lock`: which files are tested, written down; nothing else ever changes that."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lab.arch import Arch
from lab.build import lock_changes, lock_file, locking, tool_versions, wheels
from lab.build.archive import Archive
from lab.build.cache import Cache, standard
from lab.build.supply import Supply
from lab.cli.settings import Settings, err, out
from lab.config.load import load_lock
from lab.config.lock import LAB_LOCK, Lock, LockedCommit, LockedSet, LockedWheel, place_of_lock
from lab.config.model import LabConfig
from lab.errors import LabError
from lab.events import Sink
from lab.record.files import write_text
from lab.report.progress import progress_on


def register(app: typer.Typer) -> None:
    """Add this command.

    Args:
        app: The `lab` command.
    """
    app.command()(lock)


def lock(
    ctx: typer.Context,
    update: Annotated[
        bool, typer.Option("--update", help="Move all of it to what is newest, and say what moved.")
    ] = False,
) -> int:
    """Write lab.lock beside lab.toml: the packages, commits and wheels that are tested.

    Without --update what is missing is added, and the rest stays; what the mirror has newer is
    said. Runs take what the lock names, by path and digest, and ask no index.

    Exit status: 0; 1 if something that stays in the lock is nowhere else any more.
    """
    settings: Settings = ctx.obj
    lab = settings.lab()
    path = settings.path.parent / LAB_LOCK
    before = _before(settings.path)
    with progress_on(err, everything=settings.debug) as sink:
        work = _Locking(lab, before, standard(lab.cache), update, sink)
        made = work.made()
    if made != before or not path.is_file():
        write_text(path, lock_file.text(made))
    for line in work.said:
        out.print(line, markup=False, soft_wrap=True)
    files = sum(len(one.packages) for one in made.debian)
    how = "written" if made != before else "as it was"
    out.print(
        f"{path}: {how}: {files} packages, {len(made.git)} commits, {len(made.python)} wheels",
        markup=False,
        soft_wrap=True,
    )
    return int(work.lost)


def _before(toml: Path) -> Lock:
    there = place_of_lock(toml)
    return load_lock(there) if there.is_file() else Lock()


class _Locking:
    """One run of the command: what was said, and whether something is lost."""

    def __init__(
        self, lab: LabConfig, before: Lock, cache: Cache, update: bool, sink: Sink
    ) -> None:
        self._lab, self._before, self._cache = lab, before, cache
        self._update, self._sink = update, sink
        self._supply = Supply(Supply.of(lab).mirrors)
        self._fetched: dict[tuple[tuple[str, ...], Arch], Archive] = {}
        self.said: list[str] = []
        self.lost = False

    def made(self) -> Lock:
        """Return the new lock; it equals the old one if nothing was missing."""
        debian = [one for wish in locking.wishes(self._lab) if (one := self._of(wish))]
        kept = [] if self._update else [one for one in self._before.debian if one not in debian]
        wished = {one.wish for one in debian}
        made = Lock(
            tools=self._tools(),
            debian=tuple(debian + [one for one in kept if one.wish not in wished]),
            git=tuple(self._commit(url, ref) for url, ref in locking.branches(self._lab)),
            python=self._wheels(),
        )
        self.said += lock_changes.of_the_rest(self._before, made)
        return made

    def _tools(self) -> dict[str, str]:
        before = self._before.tools
        return tool_versions.versions() if self._update or not before else before

    def _wheels(self) -> tuple[LockedWheel, ...]:
        before = self._before.python
        if not self._update and wheels.are_locked(before):
            return before
        return wheels.choose(self._sink) or before

    def _of(self, wish: locking.Wish) -> LockedSet | None:
        old = wish.in_lock(self._before)
        try:
            new = locking.resolve(wish, self._index(wish), self._sink)
        except LabError as e:
            if old is None:
                raise
            self.lost = True
            self.said.append(f"{wish}: stays as it is locked, though: {e}")
            return old
        if old is None:
            if new is not None:
                self.said.append(f"{wish}: added, {len(new.packages)} packages")
            return new
        if new is None:
            self.lost = True
            self.said.append(f"{wish}: stays as it is locked; the mirror has it no more")
            return old
        differs = lock_changes.between(old, new)
        if differs and self._update:
            self.said.append(f"{wish}: {differs}")
        elif differs:
            self.said.append(
                f"{wish}: stays; there is newer, which `lab lock --update` takes: {differs}"
            )
        return new if self._update else old

    def _index(self, wish: locking.Wish) -> Archive:
        key = (wish.suites, wish.arch)
        if key not in self._fetched:
            index = locking.index_of(wish, self._cache, self._supply)
            index.renew(self._sink)
            self._fetched[key] = index
        return self._fetched[key]

    def _commit(self, url: str, ref: str) -> LockedCommit:
        old = self._before.commit_of(url, ref)
        if old is not None and not self._update:
            return LockedCommit(url=url, ref=ref, commit=old)
        return locking.commit(url, ref)
