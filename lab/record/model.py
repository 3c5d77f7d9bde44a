# SPDX-License-Identifier: Apache-2.0
"""What a run leaves behind, as frozen, versioned models. `run.json` is the truth; pages derive."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from lab.config.enums import Scope

# 2: repeats, timelines, consoles, imported results, runs that were gone on with.
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


class AcceleratorRecord(Part):
    """What ran the L1s of one architecture, and why that one."""

    name: str
    """"kvm" or "tcg"."""
    why: str
    """Why this one was taken."""


class KernelRecord(Part):
    """One kernel of the run, so that it can be built again."""

    release: str
    """What `uname -r` says."""
    build_id: str
    """The GNU build id of its vmlinux."""
    digest: str
    """SHA-256 of the image."""
    source: str = ""
    """Where its source came from."""
    source_version: str = ""
    """The version of that source: of a package, a commit, a digest."""
    config_digest: str = ""
    """SHA-256 of its .config."""
    compiler: str = ""
    """What the compiler says of its version; "" if the lab did not build it."""
    make: tuple[str, ...] = ()
    """Variables that lab.toml has for make, as "LLVM=1"."""


class EnvironmentRecord(Document):
    """Where the run ran. Workers each note what they saw; `merged` puts that together."""

    accelerators: dict[str, AcceleratorRecord] = {}
    """What ran the L1s, by architecture."""
    kernels: dict[str, KernelRecord] = {}
    """The kernels of the run, by name and architecture."""
    images: dict[str, str] = {}
    """Digests of the other images, by name."""
    cpu_model: str | None = None
    """L0's processor."""
    qemu: str | None = None
    """L0's QEMU, by version."""
    libvirt: str | None = None
    """L0's libvirt, by version."""
    l0_kernel: str | None = None
    """L0's kernel, by release."""
    load_1m: float | None = None
    """The highest 1-minute load of L0 that was seen."""
    steal_percent: float | None = None
    """The highest share of L0's time that its own host took, in percent."""
    conflicts: tuple[str, ...] = ()
    """What two workers saw differently."""


class ExpectationRecord(Part):
    """What the ladder says should come out."""

    kind: Literal["survives", "dies", "parks", "xfail", "unavailable"]
    """The word of the ladder."""
    scope: Scope = Scope.RUNNING
    """What is judged."""
    reason: str = ""
    """Of an xfail or an unavailable cell: why."""
    link: str = ""
    """Of an xfail: where the bug is tracked."""
    by: tuple[str, ...] = Field(default=(), exclude_if=lambda by: not by)
    """Of a control or an xfail: the checks that it may be lost by; none is the usual ones."""

    @model_serializer(mode="wrap")
    # Without an annotation: with one, the schema would be that of any dictionary.
    def _sparse(self, handler: SerializerFunctionWrapHandler):  # type: ignore[no-untyped-def]
        written = handler(self)
        return written if self.by else {k: v for k, v in written.items() if k != "by"}

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
    """Its index."""
    beats: int = 0
    """How many of its beats were seen."""
    longest_guest_ms: float | None = None
    """Longest gap between two beats by the guest's own clock, in ms."""
    longest_l0_ms: float | None = None
    """The least that this gap was by L0's clock, in ms."""
    most_l0_ms: float | None = None
    """The most that it was by L0's clock, in ms; null in records of version 1."""
    began_ms: float | None = None
    """When it began, in ms after the disruption was ordered; negative before it."""

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
    """The verdict."""
    reason: str
    """Why, in one sentence."""
    scope: Scope | None = None
    """What was judged."""
    vcpus: tuple[VcpuFigures, ...] = ()
    """The longest silence of each vCPU."""
    beats: int | None = None
    """How many beats were seen of all vCPUs."""
    looks_per_second: float | None = None
    """How often the outside eye looked."""
    look_cost_ms: float | None = None
    """What one look took, in ms."""
    windows: int | None = None
    """How many windows of control watches were compared."""
    void_windows: int = 0
    """How many of them are void, for L0 was late."""
    figures: dict[str, Scalar] = {}
    """Further figures, by name."""

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
    """Its index."""
    l0: tuple[int, ...]
    """Beats that L0 saw for the first time, in each bin."""
    guest: tuple[int, ...]
    """Beats by their own stamp, in each bin."""
    baseline_l0_ms: tuple[float, float] | None = None
    """The longest silence while nothing was done, at least and at most by L0's clock, in ms."""
    baseline_guest_ms: float | None = None
    """The same by the guest's clock, in ms."""


class TimelineRecord(Part):
    """What is needed to draw a silence plot; milliseconds, 0 is when the disruption was ordered."""

    began_ms: float
    """Where the first bin begins."""
    bin_ms: float = Field(gt=0)
    """How long a bin is."""
    baseline_ms: tuple[float, float]
    """Begin and end of the baseline."""
    done_ms: float | None = None
    """When the disruption was complete."""
    phases: tuple[tuple[str, float], ...] = ()
    """Phases: label, and when it began."""
    voids: tuple[tuple[float, float], ...] = ()
    """Begin and end of each stretch in which L0 itself stood still."""
    vcpus: tuple[VcpuTimeline, ...] = ()
    """The beats of each vCPU."""


class ConsoleRecord(Part):
    """Lines of one console around the disruption; `first` counts the whole console's from 1."""

    name: str
    """Whose console it is."""
    first: int = 1
    """The number of the first of `lines` in the whole console, from 1."""
    struck: int | None = None
    """How many of `lines` had come when the disruption was ordered."""
    lines: tuple[str, ...] = ()
    """The lines."""


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
    """Ids of the cells that may not be unavailable here."""
    resumed: tuple[Utc, ...] = ()
    """When it was resumed after it had been stopped."""
    notes: tuple[str, ...] = ()
    """What else a reader has to know of it."""


class RunRecord(RunHeader):
    """A whole run."""

    environment: EnvironmentRecord = EnvironmentRecord()
    """Where it ran."""
    cells: tuple[CellRecord, ...] = ()
    """The cells that have ended."""
    checks: tuple[CheckRecord, ...] = ()
    """The tests beside the cells that have ended."""


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
