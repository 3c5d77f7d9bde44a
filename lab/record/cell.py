# SPDX-License-Identifier: Apache-2.0
"""A cell in a record: as it is planned, and as it ended."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue, SerializerFunctionWrapHandler, model_serializer

from lab.record.beats import ConsoleRecord, TimelineRecord
from lab.record.judgement import ExpectationRecord, VerdictRecord
from lab.record.parts import Document, Inside, Outcome, Part, Scalar, TryRecord, TurnRecord
from lab.record.provenance import Provenance


class ChildRecord(Part):
    """A result that somebody else's test printed inside a cell: one line of its KTAP."""

    name: str
    """Its name in the KTAP."""
    status: Literal["ok", "not ok", "skip", "xfail", "timeout", "missing"]
    """What came of it."""
    depth: int = Field(default=0, ge=0)
    """How deep it is nested."""
    comment: str = ""
    """What stood behind it."""


class PlannedCell(Document):
    """A cell that the run set out to do."""

    id: str = Field(min_length=1)
    """Its name everywhere, as `x86_64-tcg-stock-linux-qemu-vmm_kill`."""
    repeat: int = Field(default=1, ge=1)
    """Which repeat of it this is, from 1."""
    topology: str = ""
    """The topology that it is of."""
    dimensions: dict[str, Scalar] = {}
    """What it is made of, by dimension."""
    tier: str = ""
    """Its tier."""
    expectation: ExpectationRecord | None = None
    """What the ladder expects of it."""
    rerun: str = ""
    """The command line that runs this cell alone."""

    @property
    def key(self) -> str:
        """What tells this cell from its repeats: its id, and `#2` where it is done again."""
        return self.id if self.repeat == 1 else f"{self.id}#{self.repeat}"


class CellRecord(PlannedCell):
    """A cell that has ended, however it ended."""

    outcome: Outcome
    """How it came out against its expectation."""
    verdict: VerdictRecord | None = None
    """The verdict; null where none could be reached."""
    witness: dict[str, JsonValue] = {}
    """Evidence that the disruption happened, and facts of the run."""
    duration_s: float = 0.0
    """How long it took, in seconds."""
    phases: tuple[tuple[str, float], ...] = ()
    """Phases of it: label, and seconds."""
    evidence: Inside = ""
    """Its folder of evidence, relative to the run's."""
    first_cause: str = ""
    """What went wrong first, where something did."""
    timeline: TimelineRecord | None = None
    """Its beats over time."""
    consoles: tuple[ConsoleRecord, ...] = ()
    """Its consoles around the disruption."""
    children: tuple[ChildRecord, ...] = ()
    """Results of other tests that it ran."""
    provenance: Provenance | None = None
    """By what it came about; null where nothing was run, and in older records."""
    digests: dict[str, str] = {}
    """SHA-256 of each file of its evidence, by its path in the folder of evidence."""
    lacks: str = ""
    """What its run lacks for its outcome to count: its control, or a probe. "" for nothing."""
    tries: tuple[TryRecord, ...] = ()
    """All tries, if a plugin retried it: the worst counts, and where they differ it is flaky."""
    turn: TurnRecord | None = None
    """When it was run; null in older records."""

    @model_serializer(mode="wrap")
    # Without an annotation: with one, the schema would be that of any dictionary.
    def _sparse(self, handler: SerializerFunctionWrapHandler):  # type: ignore[no-untyped-def]
        written = handler(self)
        return {k: v for k, v in written.items() if v or k not in {"lacks", "tries", "turn"}}
