# SPDX-License-Identifier: Apache-2.0
"""What a run leaves behind, as frozen, versioned models. `run.json` is the truth; pages derive."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

from lab.config.enums import Scope

# 2: repeats, timelines, consoles, imported results, runs that were gone on with.
# 3: tests beside the cells.
SCHEMA_VERSION = 3

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
    """A frozen piece of a record; unknown keys and infinities are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Document(Part):
    """A piece that may be a file of its own."""

    schema_version: int = SCHEMA_VERSION


class AcceleratorRecord(Part):
    """What ran the L1s of one architecture, and why that one."""

    name: str
    why: str


class KernelRecord(Part):
    """One kernel of the run, so that it can be built again."""

    release: str
    build_id: str
    digest: str
    source: str = ""
    source_version: str = ""
    config_digest: str = ""


class EnvironmentRecord(Document):
    """Where the run ran. Workers each note what they saw; `merged` puts that together."""

    accelerators: dict[str, AcceleratorRecord] = {}  # by architecture
    kernels: dict[str, KernelRecord] = {}
    images: dict[str, str] = {}  # name to digest
    cpu_model: str | None = None  # of L0
    qemu: str | None = None
    libvirt: str | None = None
    l0_kernel: str | None = None
    load_1m: float | None = None  # the highest that was seen
    steal_percent: float | None = None  # ditto
    conflicts: tuple[str, ...] = ()  # where two workers saw different things


class ExpectationRecord(Part):
    """What the ladder says should come out."""

    kind: Literal["survives", "dies", "parks", "xfail", "unavailable"]
    scope: Scope = Scope.RUNNING
    reason: str = ""
    link: str = ""

    @property
    def word(self) -> str:
        """The expectation in a word or two, for a grid."""
        return f"{self.kind} ({self.scope})" if self.kind == "survives" else self.kind


class VcpuFigures(Part):
    """The longest silence of one vCPU, on both clocks, in milliseconds.

    L0 sees beats only when it looks: it knows that a silence was at least so long, and at most.
    The guest's clock knows to a beat, if it is to be trusted.
    """

    vcpu: int
    beats: int = 0
    longest_guest_ms: float | None = None
    longest_l0_ms: float | None = None  # at least
    most_l0_ms: float | None = None  # at most; None in records of version 1
    began_ms: float | None = None  # when that silence began, relative to the disruption

    @property
    def longest_ms(self) -> float | None:
        """The guest's own figure, held within what L0 knows; L0's where the guest has none."""
        least, most, own = self.longest_l0_ms, self.most_l0_ms, self.longest_guest_ms
        if own is None or least is None:
            return own if least is None else least
        return max(least, own if most is None else min(own, most))


class VerdictRecord(Part):
    """What the judge said, with the figures it rests on."""

    kind: Literal["Survived", "Parked", "Lost", "Unproven"]
    reason: str
    scope: Scope | None = None
    vcpus: tuple[VcpuFigures, ...] = ()
    beats: int | None = None
    looks_per_second: float | None = None
    look_cost_ms: float | None = None
    windows: int | None = None
    void_windows: int = 0
    figures: dict[str, Scalar] = {}

    @property
    def longest_silence_ms(self) -> float | None:
        """The longest silence of any vCPU."""
        each = (v.longest_ms for v in self.vcpus)
        return max((ms for ms in each if ms is not None), default=None)


class VcpuTimeline(Part):
    """The beats of one vCPU in bins of equal length, on both clocks, laid on one axis.

    The guest's clock is laid on L0's at the beginning of the baseline and left alone after it:
    where the two rows drift apart, the clocks did.
    """

    vcpu: int
    l0: tuple[int, ...]  # beats first seen in each bin
    guest: tuple[int, ...]  # beats that say they were made in each bin
    # The longest silence while nothing was done: L0's bounds, and the guest's own.
    baseline_l0_ms: tuple[float, float] | None = None
    baseline_guest_ms: float | None = None


class TimelineRecord(Part):
    """What is needed to draw a silence plot; milliseconds, 0 is when the disruption was ordered."""

    began_ms: float
    bin_ms: float = Field(gt=0)
    baseline_ms: tuple[float, float]
    done_ms: float | None = None  # when the disruption was complete
    phases: tuple[tuple[str, float], ...] = ()  # label, when it began
    voids: tuple[tuple[float, float], ...] = ()  # L0 itself stood still
    vcpus: tuple[VcpuTimeline, ...] = ()


class ConsoleRecord(Part):
    """Lines of one console around the disruption; `first` counts the whole console's from 1."""

    name: str
    first: int = 1
    struck: int | None = None  # so many of `lines` had come when the disruption was ordered
    lines: tuple[str, ...] = ()


class ChildRecord(Part):
    """A result that somebody else's test printed inside a cell: one line of its KTAP."""

    name: str
    status: Literal["ok", "not ok", "skip", "xfail", "timeout", "missing"]
    depth: int = Field(default=0, ge=0)
    comment: str = ""


class PlannedCell(Document):
    """A cell that the run set out to do."""

    id: str = Field(min_length=1)
    repeat: int = Field(default=1, ge=1)  # which time it is that it is done
    topology: str = ""
    dimensions: dict[str, Scalar] = {}
    tier: str = ""
    expectation: ExpectationRecord | None = None
    rerun: str = ""  # the command line that does only this cell again

    @property
    def key(self) -> str:
        """What tells this cell from its repeats: its id, and `#2` where it is done again."""
        return self.id if self.repeat == 1 else f"{self.id}#{self.repeat}"


class CellRecord(PlannedCell):
    """A cell that has ended, however it ended."""

    outcome: Outcome
    verdict: VerdictRecord | None = None
    witness: dict[str, JsonValue] = {}  # that the disruption happened
    duration_s: float = 0.0
    phases: tuple[tuple[str, float], ...] = ()  # label, seconds
    evidence: Inside = ""  # a folder, relative to the run's
    first_cause: str = ""
    timeline: TimelineRecord | None = None
    consoles: tuple[ConsoleRecord, ...] = ()
    children: tuple[ChildRecord, ...] = ()


class CheckRecord(Document):
    """A test beside the cells that has ended: what is right is written in it, and in no ladder."""

    id: str = Field(min_length=1)  # pytest's node id
    outcome: Outcome
    duration_s: float = 0.0
    first_cause: str = ""


class RunHeader(Document):
    """What is known when a run starts; `ended` is filled in when it does."""

    run_id: Name
    started: Utc
    ended: Utc | None = None
    tier: str = ""
    command_line: tuple[str, ...] = ()
    versions: dict[str, str] = {}
    planned: tuple[PlannedCell, ...] = ()
    checks_planned: tuple[str, ...] = ()  # ids of the tests beside the cells
    must_run: tuple[str, ...] = ()  # ids of cells that may not be unavailable here
    resumed: tuple[Utc, ...] = ()  # when it was gone on with, after it had been stopped
    notes: tuple[str, ...] = ()  # what else a reader has to know of it


class RunRecord(RunHeader):
    """A whole run."""

    environment: EnvironmentRecord = EnvironmentRecord()
    cells: tuple[CellRecord, ...] = ()
    checks: tuple[CheckRecord, ...] = ()


def merged(a: EnvironmentRecord, b: EnvironmentRecord) -> EnvironmentRecord:
    """Put together what two workers saw; `a` wins, and differences are kept as conflicts."""
    conflicts = list(dict.fromkeys(a.conflicts + b.conflicts))

    def keep(what: str, one: object, other: object) -> object:
        if one is not None and other is not None and one != other:
            conflicts.append(f"{what}: one worker saw {one}, another {other}")
        return other if one is None else one

    values: dict[str, object] = {}
    for name in EnvironmentRecord.model_fields.keys() - {"schema_version", "conflicts"}:
        one, other = getattr(a, name), getattr(b, name)
        if name in {"load_1m", "steal_percent"}:
            values[name] = max((x for x in (one, other) if x is not None), default=None)
        elif isinstance(one, Mapping):
            values[name] = {
                key: keep(f"{name}.{key}", one.get(key), other.get(key))
                for key in sorted({*one, *other})
            }
        else:
            values[name] = keep(name, one, other)
    return EnvironmentRecord.model_validate({**values, "conflicts": tuple(conflicts)})
