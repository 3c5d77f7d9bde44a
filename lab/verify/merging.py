# SPDX-License-Identifier: Apache-2.0
"""Shards put together to the run that they are parts of: its folder, as one machine had made it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from lab.errors import ConfigError, InfraError
from lab.record import shards as cells_files
from lab.record.model import RunHeader
from lab.verify.plain_files import digest_of
from lab.verify.shard_set import Shard, insist_whole, read

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_ENVIRONMENT, _HEADER = "environment/", "header.json"


def merge(folders: Sequence[Path], reports: Path, *, run_id: str) -> Path:
    """Make the run that shards are parts of, in a folder of its own; the shards stay as they are.

    Args:
        folders: Of the shards, in any order.
        reports: The folder of all runs.
        run_id: The name of the run.

    Returns:
        The run's folder, without run.json and pages.

    Raises:
        ConfigError: The shards are not all those of one run, each once and unchanged.
        InfraError: The folder cannot be made or filled.
    """
    _insist_on_a_new_id(reports, run_id)
    parts = sorted(map(read, folders), key=lambda shard: shard.part.index)
    insist_whole(parts)
    folder = cells_files.begin(reports, header_of(parts, run_id))
    try:
        for shard in parts:
            _copy(shard, folder)
    except OSError as e:
        shutil.rmtree(folder)
        raise InfraError(f"{folder}: cannot be filled: {e.strerror}") from e
    except ConfigError:
        shutil.rmtree(folder)
        raise
    return folder


def _insist_on_a_new_id(reports: Path, run_id: str) -> None:
    if not _ID.fullmatch(run_id):
        raise ConfigError(f"{run_id!r} is no id of a run: letters, digits and . _ - are")
    found = sorted(reports.glob(f"*-{run_id}/header.json"))
    if found:
        raise ConfigError(
            f"{found[-1].parent.name} in {reports} is another run of that id",
            hint="type another --run-id",
        )


def header_of(parts: Sequence[Shard], run_id: str) -> RunHeader:
    """Return the header of a merged run: that of the whole, from the first start to the last end.

    Args:
        parts: The shards, by number.
        run_id: The name of the run.

    Raises:
        ConfigError: A shard did not end.
    """
    first, whole = parts[0].record, parts[0].part.whole
    sources = tuple(shard.merged() for shard in parts)
    planned = {cell.key: cell for shard in parts for cell in shard.record.planned}
    checks = {name for shard in parts for name in shard.record.checks_planned}
    return RunHeader(
        run_id=run_id,
        started=min(source.started for source in sources),
        ended=max(source.ended for source in sources),
        tier=first.tier,
        command_line=first.command_line,
        versions=first.versions,
        planned=tuple(planned[name] for name in whole.names if name in planned),
        checks_planned=tuple(name for name in whole.names if name in checks),
        must_run=whole.must_run,
        plan=whole.plan,
        resumed=tuple(sorted(chain.from_iterable(shard.record.resumed for shard in parts))),
        notes=tuple(f"shard {s.part.index}: {note}" for s in parts for note in s.record.notes),
        merged_from=sources,
    )


def _copy(shard: Shard, folder: Path) -> None:
    """Copy what a shard's hash tree is over; what was changed meanwhile is not merged."""
    for name, digest in shard.tree.digests.items():
        if name == _HEADER:
            continue
        target = folder / _name_in_the_whole(name, shard.part.index)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            raise ConfigError(f"{shard.folder}: {name} is there in another shard, too")
        shutil.copyfile(shard.folder / name, target)
        if digest_of(target) != digest:
            raise ConfigError(f"{shard.folder}: {name} was changed while it was merged")


def _name_in_the_whole(name: str, index: int) -> str:
    """Return where a file of a shard lies in the merged run: workers have one name in all."""
    if not name.startswith(_ENVIRONMENT):
        return name
    return f"{_ENVIRONMENT}shard{index}-{name.removeprefix(_ENVIRONMENT)}"
