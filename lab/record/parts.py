# SPDX-License-Identifier: Apache-2.0
"""What every piece of a record is made of: frozen models, outcomes, times, places."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

# 2: repeats, timelines, consoles, imported results, runs that were resumed.
# 3: tests beside the cells.
SCHEMA_VERSION = 3
# The first cause of what was planned and did not come to its end: by it, it is interrupted.
NO_RECORD = "it was planned and left no record: its worker died, or the run was stopped"

Scalar = str | int | float | bool | None


class Outcome(StrEnum):
    """How a cell came out, in pytest's words, plus `unavailable`."""

    PASSED = "passed"
    FAILED = "failed"  # the product: the kernel, VMM or guest under test
    ERROR = "error"  # the lab, or a missing witness
    XFAILED = "xfailed"
    XPASSED = "xpassed"
    UNAVAILABLE = "unavailable"
    SKIPPED = "skipped"


def _as_utc(at: datetime) -> datetime:
    return at.astimezone(UTC)


def _inside_the_folder(path: str) -> str:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts:
        raise ValueError(f"'{path}' leaves the run's folder")
    return path


Utc = Annotated[AwareDatetime, AfterValidator(_as_utc)]
Inside = Annotated[str, AfterValidator(_inside_the_folder)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class Part(BaseModel):
    """A frozen piece of a record; unknown keys and infinities are errors.

    The text below a field is its description: docs/reference/run.schema.json is made from it.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )


class Document(Part):
    """A piece that may be a file of its own."""

    schema_version: int = SCHEMA_VERSION
    """The version of the record's form; readers refuse a later one."""


class TryRecord(Part):
    """One of several tries of a test that was retried in one sitting of its run."""

    outcome: Outcome
    """How it came out."""
    first_cause: str = ""
    """What went wrong first, where something did."""


class TurnRecord(Part):
    """When a cell, or a test beside the cells, had its turn, and on which worker."""

    began: Utc
    """When it began, its waiting for a host and all."""
    ended: Utc
    """When it ended."""
    worker: str
    """Its worker: of those, each runs one thing after the other."""
