# SPDX-License-Identifier: Apache-2.0
"""What can be said of a guest in the end: a value with a reason, its figures and its scope."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from lab.config import enums

Scope = enums.Scope  # what a topology asks for is what a verdict says


class Check(enum.StrEnum):
    """The named checks; each verdict says which of them it rests on."""

    EVIDENCE = "evidence"
    DISRUPTION = "disruption"
    INTERFERENCE = "interference"
    WATCH = "watch"
    EYE = "eye"
    BASELINE = "baseline"
    IDENTITY = "identity"
    CANARY = "canary"
    RESTART = "restart"
    REWIND = "rewind"
    CHAIN = "chain"
    OVERRUN = "overrun"
    CLOCK = "clock"
    CLOCK_RATE = "clock-rate"
    CLOCK_STEP = "clock-step"
    BEAT_RATE = "beat-rate"
    REWIND_BOUND = "rewind-bound"
    FAULTS = "faults"
    RAM = "ram"
    PATH = "path"
    NOWHERE = "nowhere"
    SEARCH = "search"
    ELSEWHERE = "elsewhere"
    SPLIT_BRAIN = "split-brain"
    TALLY = "tally"
    HOST = "host"
    SILENCE = "silence"
    GUEST_SILENCE = "guest-silence"
    EARLY = "early"
    PAGE = "page"
    JITTER = "jitter"
    END = "end"
    PARKED = "parked"
    OWN_COUNT = "own-count"
    MEMORY = "memory"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class VcpuFigures:
    """What one vCPU did in the watch. Times in seconds; silence by L0's clock is a bound.

    Attributes:
        clock_rate: How fast its clock went after the disruption, L0's being 1; None if too few
            beats came to tell.
        clock_step_s: The largest step of its clock against L0's.
        beat_rate: Beats a second after the disruption, as a share of those before it.
        rewind_s: The largest rewind that could have been missed, and in beats.
        ram_mib: How much RAM it verified since stops and disruption, in MiB; None if it cannot.
    """

    vcpu: int
    beats: int
    looks: int
    silence_least_s: float
    silence_most_s: float
    silence_began_s: float | None
    guest_gap_s: float
    guest_gap_at_s: float
    own_max_gap_s: float
    drift_s: float | None
    faults: int
    irqs: int
    blind: int
    clock_rate: float | None = None
    clock_step_s: float = 0.0
    beat_rate: float | None = None
    rewind_s: float = 0.0
    rewind_beats: int = 0
    ram_mib: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured. `silence_began_s` of a vCPU counts from the disruption.

    `beats_on` says that every vCPU was seen to beat up to the end of the watch. `ram_mib` is how
    much RAM they all verified since stops and disruption, in MiB; None if none of them can.
    """

    watched_s: float = 0.0
    void_windows: int = 0
    timing_void: bool = False
    disruption: str = ""
    beats_on: bool = False
    ram_mib: float | None = None
    vcpus: tuple[VcpuFigures, ...] = ()


@dataclass(frozen=True, slots=True)
class _Verdict:
    reason: str
    check: Check
    scope: Scope = Scope.RUNNING
    figures: Figures = field(default_factory=Figures)


class Survived(_Verdict):
    """The same guest, unharmed, to the end of the watch."""

    __slots__ = ()


class Parked(_Verdict):
    """Parked by the caretaker, which says so, and silent since."""

    __slots__ = ()


class Lost(_Verdict):
    """Proven not to have lived through it."""

    __slots__ = ()


class Unproven(_Verdict):
    """Nothing is proven; an error of the lab or of its evidence, and never a pass."""

    __slots__ = ()


Verdict = Survived | Parked | Lost | Unproven
