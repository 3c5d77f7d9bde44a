# SPDX-License-Identifier: Apache-2.0
"""A run's hash tree: a digest of each file, of each cell's files, and one over all of them.

It has what the pages are made from: the header, the records, the environment and the evidence.
Pages are left out, since they can be made again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lab.errors import ConfigError
from lab.record.files import file_name, write_text
from lab.record.model import RunRecord
from lab.verify.plain_files import digest_of, files_below, read_regular
from lab.verify.signature import signature_of

NAME = "manifest.json"
MANIFEST_VERSION = 1
PARTS = ("header.json", "cells", "checks", "environment", "evidence")
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class CellEntry(BaseModel):
    """The files of one cell, by path relative to the run's folder, and the digest over them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    files: dict[str, Digest]
    digest: Digest


class Manifest(BaseModel):
    """The hash tree; `files` has what is no cell's, `root` is the digest over all of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    manifest_version: int = MANIFEST_VERSION
    run_id: str
    files: dict[str, Digest]
    cells: dict[str, CellEntry]
    root: Digest

    @property
    def digests(self) -> dict[str, str]:
        """The digest of every file, by path."""
        return {**self.files, **{p: d for c in self.cells.values() for p, d in c.files.items()}}


def seal(folder: Path, record: RunRecord) -> Manifest:
    """Write the hash tree of a run that has ended; a signature of an older one is removed.

    Args:
        folder: The run's.
        record: The run.

    Returns:
        What was written.

    Raises:
        ConfigError: A file of the run is no regular file, or cannot be read.
        InfraError: It cannot be written.
    """
    unseal(folder)
    made = tree_of(folder, record)
    write_text(folder / NAME, made.model_dump_json(indent=1) + "\n")
    return made


def unseal(folder: Path) -> None:
    """Remove the hash tree of a run that goes on, and its signature.

    Args:
        folder: The run's.
    """
    for path in (folder / NAME, signature_of(folder / NAME)):
        path.unlink(missing_ok=True)


def tree_of(folder: Path, record: RunRecord) -> Manifest:
    """Return the hash tree of a run as it lies there.

    Args:
        folder: The run's.
        record: The run.

    Raises:
        ConfigError: A file of it is no regular file, or cannot be read.
    """
    left = {name: digest_of(folder / name) for name in files_of(folder)}
    cells = {}
    for cell in record.cells:
        own = cell_parts(cell.key, cell.evidence)
        files = {name: left.pop(name) for name in list(left) if _is_in(name, own)}
        cells[cell.key] = CellEntry(files=files, digest=digest_over(files))
    return Manifest(
        run_id=record.run_id,
        files=left,
        cells=cells,
        root=root_of(record.run_id, left, {key: entry.digest for key, entry in cells.items()}),
    )


def files_of(folder: Path) -> list[str]:
    """List every file of a run that a hash tree is over, whether it is in one or not.

    Args:
        folder: The run's.
    """
    return [name for part in PARTS for name in files_below(folder, part)]


def cell_parts(key: str, evidence: str) -> tuple[str, ...]:
    """Return which file and which folder of a run are a cell's.

    Args:
        key: The cell's.
        evidence: Its folder of evidence, relative to the run's; "" if it has none.
    """
    return (f"cells/{file_name(key)}.json", *([evidence] if evidence else []))


def load(folder: Path) -> Manifest:
    """Read the hash tree of a run, and insist that its digests are those of what is in it.

    Args:
        folder: The run's.

    Raises:
        ConfigError: It is damaged, of a later version, or not what its own digests say.
    """
    path = folder / NAME
    try:
        found = Manifest.model_validate(json.loads(read_regular(path)))
    except ValidationError as e:
        first = e.errors(include_url=False)[0]
        raise ConfigError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from e
    except (ValueError, RecursionError) as e:
        raise ConfigError(f"{path}: damaged, not JSON: {e}") from e
    if found.manifest_version != MANIFEST_VERSION:
        raise ConfigError(
            f"{path}: manifest_version: {MANIFEST_VERSION} was wanted, "
            f"{found.manifest_version} came"
        )
    for wrong in _wrong(found):
        raise ConfigError(f"{path}: the digest of {wrong} is not that of what is in it")
    return found


def _wrong(manifest: Manifest) -> Iterator[str]:
    for key, entry in manifest.cells.items():
        if digest_over(entry.files) != entry.digest:
            yield f"cell {key}"
    cells = {key: entry.digest for key, entry in manifest.cells.items()}
    if root_of(manifest.run_id, manifest.files, cells) != manifest.root:
        yield "the run"


def digest_over(value: object) -> str:
    """Return the SHA-256 of a value as JSON that has one form only.

    Args:
        value: Strings, and mappings of them.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def root_of(run_id: str, files: Mapping[str, str], cells: Mapping[str, str]) -> str:
    """Return the digest over a whole run.

    Args:
        run_id: The run's.
        files: The digests of files that are no cell's, by path.
        cells: The digests of cells, by key.
    """
    return digest_over(
        {
            "manifest_version": str(MANIFEST_VERSION),
            "run_id": run_id,
            "files": dict(files),
            "cells": dict(cells),
        }
    )


def _is_in(name: str, parts: tuple[str, ...]) -> bool:
    return any(name == part or name.startswith(f"{part}/") for part in parts)
