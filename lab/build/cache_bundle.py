# SPDX-License-Identifier: Apache-2.0
"""The cache in a file, to carry it to a machine without a network."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lab.build.cache import Cache
from lab.build.cache_entries import Entry, damage
from lab.build.cache_keys import manifests
from lab.build.commands import need, output
from lab.errors import ConfigError, InfraError

_MARK = "caretaker-lab-cache.json"
_FORMAT = 1
_SLACK_MIB = 64


def export(cache: Cache, chosen: Sequence[Entry], file: Path) -> None:
    """Write artifacts into a file, all of it or nothing.

    Args:
        cache: Where they are.
        chosen: The artifacts.
        file: The file; one that is there is replaced.

    Raises:
        ConfigError: There is nothing to write, or it cannot be written there.
        InfraError: tar or zstd failed.
        UnavailableError: zstd is not installed.
    """
    if not chosen:
        raise ConfigError(f"cache '{cache.root}': there is nothing to export")
    if not file.absolute().parent.is_dir():
        raise ConfigError(f"'{file}': there is no folder '{file.absolute().parent}'")
    need("zstd", package="zstd")
    half = file.with_name(f".{file.name}.{os.getpid()}")
    with tempfile.TemporaryDirectory() as made:
        mark, names = Path(made) / _MARK, Path(made) / "names"
        mark.write_text(json.dumps({"format": _FORMAT, "artifacts": len(chosen)}) + "\n")
        names.write_text("".join(f"{entry.name}\n" for entry in chosen))
        try:
            output(
                ["tar", "--create", "--file", half, "--use-compress-program=zstd -1 -T0",
                 "--owner=0", "--group=0", "--numeric-owner", "--sort=name",
                 "-C", made, _MARK, "-C", cache.root, "--files-from", names],
                doing=f"writing '{file}'",
            )  # fmt: skip
            half.rename(file)
        finally:
            half.unlink(missing_ok=True)


def bring(cache: Cache, file: Path) -> tuple[int, int]:
    """Read artifacts from a file into the cache; those that it has stay as they are.

    Args:
        cache: The cache.
        file: What `export` wrote.

    Returns:
        How many came, and how many were there already.

    Raises:
        ConfigError: It is no such file, or something in it was changed; then nothing came.
        InfraError: tar or zstd failed, or the disk is full.
        UnavailableError: zstd is not installed.
    """
    if not file.is_file():
        raise ConfigError(f"'{file}' is no file", hint="lab cache export FILE writes one")
    need("zstd", package="zstd")
    cache.require_space(file.stat().st_size // 2**20 + _SLACK_MIB, f"importing '{file}'")
    with tempfile.TemporaryDirectory(prefix=".import-", dir=cache.folder(".")) as made:
        folder = Path(made)
        _unpack(file, folder)
        found = [
            Entry(kind=home.name, path=path, facts=facts, size=0, idle_s=0.0)
            for home in sorted(folder.iterdir())
            if home.is_dir()
            for path, facts in manifests(home)
        ]
        for entry in found:
            if wrong := damage(entry):
                raise ConfigError(
                    f"'{file}' is damaged: {entry.name} ({entry.what}): {wrong}",
                    hint="export it again; there, `lab cache verify` says what is wrong",
                )
        came = sum(cache.adopt(entry.kind, entry.path) for entry in found)
    return came, len(found) - came


def _unpack(file: Path, into: Path) -> None:
    no_export = f"'{file}' is no export of a cache"
    try:
        output(
            ["tar", "--extract", "--file", file.absolute(), "--use-compress-program=zstd",
             "--no-same-owner", "--preserve-permissions", "-C", into],
            doing=f"reading '{file}'",
        )  # fmt: skip
    except InfraError as e:
        raise ConfigError(f"{no_export}, or it is cut short: {e}") from e
    mark = into / _MARK
    try:
        facts = json.loads(mark.read_text(encoding="utf-8"))
        known, wanted = facts["format"], facts["artifacts"]
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise ConfigError(
            f"{no_export}: it has no {_MARK}", hint="lab cache export FILE writes one"
        ) from e
    if known != _FORMAT:
        raise ConfigError(f"{no_export} of this lab's: it has format {known}, expected {_FORMAT}")
    there = sum(1 for home in into.iterdir() if home.is_dir() for _ in manifests(home))
    if there != wanted:
        raise ConfigError(f"'{file}' is damaged: {there} artifacts, expected {wanted}")
