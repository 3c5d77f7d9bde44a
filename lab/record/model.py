# SPDX-License-Identifier: Apache-2.0
"""A whole run as a frozen model; with it, every model of a record, to be imported from here.

`run.json` is the truth; pages derive.
"""

from __future__ import annotations

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from lab.record.asked import PlanRecord
from lab.record.beats import ConsoleRecord, TimelineRecord, VcpuTimeline
from lab.record.cell import CellRecord, ChildRecord, PlannedCell
from lab.record.cut import MergedShard, ShardRecord
from lab.record.detection import DetectionRecord
from lab.record.environment import AcceleratorRecord, EnvironmentRecord, KernelRecord, merged
from lab.record.judgement import ExpectationRecord, VcpuFigures, VerdictRecord
from lab.record.parts import (
    NO_RECORD,
    SCHEMA_VERSION,
    Document,
    Name,
    Outcome,
    Part,
    Scalar,
    TryRecord,
    TurnRecord,
    Utc,
)
from lab.record.provenance import BootRecord, Provenance

__all__ = [
    "NO_RECORD",
    "SCHEMA_VERSION",
    "AcceleratorRecord",
    "BootRecord",
    "CellRecord",
    "CheckRecord",
    "ChildRecord",
    "ConsoleRecord",
    "DetectionRecord",
    "Document",
    "EnvironmentRecord",
    "ExpectationRecord",
    "KernelRecord",
    "MergedShard",
    "Outcome",
    "Part",
    "PlanRecord",
    "PlannedCell",
    "Provenance",
    "RunHeader",
    "RunRecord",
    "Scalar",
    "ShardRecord",
    "TimelineRecord",
    "TryRecord",
    "TurnRecord",
    "Utc",
    "VcpuFigures",
    "VcpuTimeline",
    "VerdictRecord",
    "merged",
]


class CheckRecord(Document):
    """A test beside the cells that has ended: what is right is written in it, and in no ladder."""

    id: str = Field(min_length=1)
    """pytest's node id."""
    outcome: Outcome
    """How it came out."""
    duration_s: float = 0.0
    """How long it took, in seconds."""
    first_cause: str = ""
    """What went wrong first, where something did."""
    detections: tuple[DetectionRecord, ...] = ()
    """Stops of known length, where it is a calibration of what decides."""
    tries: tuple[TryRecord, ...] = ()
    """All tries, if a plugin retried it: the worst counts, and where they differ it is flaky."""
    turn: TurnRecord | None = None
    """When it was run; null in older records."""

    @model_serializer(mode="wrap")
    # Without an annotation: with one, the schema would be that of any dictionary.
    def _sparse(self, handler: SerializerFunctionWrapHandler):  # type: ignore[no-untyped-def]
        return {name: value for name, value in handler(self).items() if value or name != "turn"}


class RunHeader(Document):
    """What is known when a run starts; `ended` is filled in when it does."""

    run_id: Name
    """The run's own id."""
    started: Utc
    """When it began."""
    ended: Utc | None = None
    """When it ended; null while it runs, or if it was killed."""
    tier: str = ""
    """Its tier."""
    command_line: tuple[str, ...] = ()
    """What was typed."""
    versions: dict[str, str] = {}
    """Versions of the lab and what it uses, by name."""
    planned: tuple[PlannedCell, ...] = ()
    """The cells that it set out to run."""
    checks_planned: tuple[str, ...] = ()
    """Ids of the tests beside the cells."""
    must_run: tuple[str, ...] = ()
    """Ids of the cells that have to be judged here."""
    plan: PlanRecord | None = None
    """What had to be judged, and what was asked for; null for one cell, and in older records."""
    resumed: tuple[Utc, ...] = ()
    """When it was resumed after it had been stopped."""
    notes: tuple[str, ...] = ()
    """What else a reader has to know of it."""
    shard: ShardRecord | None = None
    """Which shard it is of which run; null for a run that was not cut."""
    merged_from: tuple[MergedShard, ...] = ()
    """The shards that it was merged from; none for a run that was not cut."""

    @model_serializer(mode="wrap")
    # Without an annotation: with one, the schema would be that of any dictionary.
    def _sparse(self, handler: SerializerFunctionWrapHandler):  # type: ignore[no-untyped-def]
        unset = {name for name in ("shard", "merged_from") if not getattr(self, name)}
        return {name: value for name, value in handler(self).items() if name not in unset}


class RunRecord(RunHeader):
    """A whole run."""

    environment: EnvironmentRecord = EnvironmentRecord()
    """Where it ran."""
    cells: tuple[CellRecord, ...] = ()
    """The cells that have ended."""
    checks: tuple[CheckRecord, ...] = ()
    """The tests beside the cells that have ended."""
