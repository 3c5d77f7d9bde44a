# SPDX-License-Identifier: Apache-2.0
"""What is in the cache: which artifacts, since when unused, whether they are as they were made."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.build.cache import Cache, bytes_on_disk, digest_of, seal_of
from lab.build.cache_keys import MANIFEST, manifests
from lab.errors import ConfigError

IN_USE_S = 3600.0
"""What was used within the last hour may be just about to be booted, and is never pruned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One artifact.

    Attributes:
        kind: Its family: "kernel".
        path: Its folder.
        facts: Its manifest.
        size: Bytes on the disk.
        idle_s: Seconds since it was used last.
    """

    kind: str
    path: Path
    facts: dict[str, Any]
    size: int
    idle_s: float

    @property
    def name(self) -> str:
        """Its kind and key, as `lab cache why` takes them."""
        return f"{self.kind}/{self.path.name}"

    @property
    def what(self) -> str:
        """What it is, for people."""
        return str(self.facts.get("what", ""))


def entries(cache: Cache) -> tuple[Entry, ...]:
    """Return all artifacts that are whole.

    Args:
        cache: The cache.

    Returns:
        The artifacts, by kind; of a kind the longest unused first.
    """
    now = time.time()  # noqa: TID251 - a file's
    found: list[Entry] = []
    homes = sorted(path for path in cache.root.glob("[!.]*") if path.is_dir())
    for home in homes:
        of_kind = [
            Entry(
                kind=home.name,
                path=path,
                facts=facts,
                size=bytes_on_disk(path),
                idle_s=max(0.0, now - (path / MANIFEST).stat().st_mtime),
            )
            for path, facts in manifests(home)
        ]
        found += sorted(of_kind, key=lambda entry: -entry.idle_s)
    return tuple(found)


def find(cache: Cache, name: str) -> Entry:
    """Return the artifact that a user names.

    Args:
        cache: The cache.
        name: A key or its beginning, kind/key, or a kind of which there is one.

    Returns:
        The artifact.

    Raises:
        ConfigError: None or several are named so.
    """
    kind, _, key = name.rpartition("/")
    there = entries(cache)
    found = [e for e in there if e.path.name.startswith(key) and kind in {"", e.kind}]
    found = [e for e in there if e.kind == name] or found
    if len(found) == 1:
        return found[0]
    if not found:
        raise ConfigError(
            f"cache '{cache.root}': there is no artifact {name!r}",
            hint="lab cache list shows what there is",
        )
    raise ConfigError(
        f"cache '{cache.root}': {name!r} are {len(found)} artifacts",
        hint=f"name one of: {', '.join(entry.name for entry in found)}",
    )


def to_prune(
    there: Iterable[Entry], *, idle_s: float | None = None, keep_bytes: int | None = None
) -> tuple[Entry, ...]:
    """Choose what is pruned: what was not used for long, then the longest unused beyond a size.

    Args:
        there: The artifacts.
        idle_s: What was not used for so many seconds goes; None: nothing for its age.
        keep_bytes: So many bytes may stay; None: any number.

    Returns:
        What goes, the longest unused first; never what was used within the last hour.
    """
    oldest_first = sorted(there, key=lambda entry: -entry.idle_s)
    left = sum(entry.size for entry in oldest_first)
    chosen: list[Entry] = []
    for entry in oldest_first:
        aged = idle_s is not None and entry.idle_s >= idle_s
        too_much = keep_bytes is not None and left > keep_bytes
        if entry.idle_s >= IN_USE_S and (aged or too_much):
            chosen.append(entry)
            left -= entry.size
    return tuple(chosen)


def damage(entry: Entry) -> str | None:
    """Return what is wrong with an artifact.

    Args:
        entry: The artifact.

    Returns:
        A phrase; None if it is as it was made.
    """
    key = digest_of(entry.facts["inputs"])
    if key != entry.path.name:
        return f"its inputs make key {key}"
    sealed = entry.facts.get("files")
    if sealed is None:
        return None
    found = seal_of(entry.path)
    for name in sorted(sealed.keys() | found.keys()):
        if name not in found:
            return f"'{name}' is missing"
        if name not in sealed:
            return f"'{name}' was added"
        if sealed[name] != found[name]:
            return f"'{name}' has changed"
    return None
