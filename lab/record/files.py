# SPDX-License-Identifier: Apache-2.0
"""Documents on disk: written whole or not at all, and read with errors that name file and key."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from pydantic import ValidationError

from lab.errors import ConfigError, InfraError
from lab.record.model import SCHEMA_VERSION, Document, RunRecord
from lab.redact import redacted

_LONGEST_NAME = 200  # bytes; file systems stop at 255
D = TypeVar("D", bound=Document)


def write_text(path: Path, text: str) -> None:
    """Write a file atomically and durably, without the secrets of the run.

    Args:
        path: The file; its folder exists.
        text: What to write; known secrets are replaced.

    Raises:
        InfraError: It could not be written; what was there before is still there.
    """
    text = redacted(text)
    with _beside(path) as tmp:
        with tmp.open("x", encoding="utf-8", errors="backslashreplace") as f:
            f.write(text)
            f.flush()
            os.fsync(f.fileno())
        tmp.replace(path)
        _sync_folder(path.parent)


def write_document(path: Path, document: Document) -> None:
    """Write a document as JSON, atomically.

    Args:
        path: The file; its folder exists.
        document: What to write.

    Raises:
        InfraError: It could not be written; what was there before is still there.
    """
    write_text(path, document.model_dump_json(indent=1) + "\n")


def point(link: Path, target: str) -> None:
    """Make a symbolic link, or change where it points; at no moment it is missing.

    Args:
        link: The link.
        target: What it points at.

    Raises:
        InfraError: It could not be made.
    """
    with _beside(link) as tmp:
        tmp.symlink_to(target)
        tmp.replace(link)
        _sync_folder(link.parent)


def load(path: Path) -> RunRecord:
    """Read a run record.

    Args:
        path: The file, or a run's folder with `run.json` in it.

    Returns:
        The record.

    Raises:
        ConfigError: There is none, it is damaged, or a newer lab wrote it.
    """
    return load_document(path / "run.json" if path.is_dir() else path, RunRecord)


def load_document(path: Path, kind: type[D]) -> D:
    """Read one document.

    Args:
        path: The file.
        kind: The class of the document.

    Returns:
        The document.

    Raises:
        ConfigError: There is none, it is damaged, or a newer lab wrote it.
    """
    try:
        data: object = json.loads(path.read_bytes())
    except OSError as e:
        raise ConfigError(f"{path}: cannot be read: {e.strerror}", hint="try: ls reports") from e
    except ValueError as e:
        raise ConfigError(f"{path}: damaged, not JSON: {e}", hint=_AGAIN) from e
    version = data.get("schema_version") if isinstance(data, dict) else None
    if not isinstance(version, int):
        raise ConfigError(f"{path}: schema_version: {version!r} is no number")
    if version > SCHEMA_VERSION:
        raise ConfigError(
            f"{path}: schema_version: {version} is newer than this lab's {SCHEMA_VERSION}",
            hint="read it with the lab that wrote it, or update this one",
        )
    try:
        return kind.model_validate(data)
    except ValidationError as e:
        first = e.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise ConfigError(f"{path}: {key}: {first['msg']}", hint=_AGAIN) from e


_AGAIN = "run.json and the pages are made from header.json and cells/; delete the damaged file"


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    tmp = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        yield tmp
    except OSError as e:
        raise InfraError(f"{path}: cannot be written: {e.strerror}") from e
    finally:
        tmp.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def file_name(cell_id: str) -> str:
    """Return the name for files and folders of a cell.

    Args:
        cell_id: Its id, or its key.

    Returns:
        The id with characters quoted that file systems refuse; 177 bytes at most if it is long.
    """
    name = quote(cell_id, safe="[]=+,@")
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[:160]}~{hashlib.sha256(cell_id.encode()).hexdigest()[:16]}"
