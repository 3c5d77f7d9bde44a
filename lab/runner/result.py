# SPDX-License-Identifier: Apache-2.0
"""What came of a cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lab.config.model import Cell
from lab.disruption.delivered import Delivered
from lab.host.blueprint import Blueprint
from lab.observe.eye import Found
from lab.observe.identity import HostIdentity
from lab.verdict.problem import Problem, ProblemKind
from lab.verdict.verdict import Check, Survived, Unproven, Verdict
from lab.verify.case import Case

Fact = str | int | float | bool | None
Facts = Mapping[str, Fact]


@dataclass(frozen=True, slots=True)
class RanOn:
    """The host of a try.

    Attributes:
        blueprint: What it was made from.
        boots: Its boots as its kernels told of them, from the one that the try began in.
        errata: What became of the errors of its QEMU, in words; "" if it has none.
    """

    blueprint: Blueprint
    boots: tuple[HostIdentity, ...]
    errata: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CellResult:
    """What came of one try of a cell, also of one that broke off; made when the try has ended.

    Attributes:
        cell: What was run.
        verdict: What the judge said; None if it did not come to that.
        broke: What ended it, if the lab did; an error in the lab's own code is no LabError.
        delivered: What was done to the guest, and its witness.
        found: What the outside eye saw.
        phases: What was done, in order, and for how many seconds.
        problems: What is wrong beside the verdict, in the order in which it was found.
        facts: What else was seen, for the record's figures.
        case: What the verdict rests on, as it stands in its file; None if there is no verdict.
        consoles: The lines of each console, by its file's name.
        ran_on: Its host; None if it had none.
        struck_at: How many lines of the host's console had come when the guest was struck.
    """

    cell: Cell
    verdict: Verdict | None = None
    broke: Exception | None = None
    delivered: Delivered | None = None
    found: Found | None = None
    phases: tuple[tuple[str, float], ...] = ()
    problems: tuple[Problem, ...] = ()
    facts: Facts = field(default_factory=dict)
    case: Case | None = None
    consoles: Mapping[str, list[str]] = field(default_factory=dict)
    ran_on: RanOn | None = None
    struck_at: int | None = None

    @property
    def void(self) -> str:
        """Why nothing came of it by L0's fault; "" if it did, and for a guest that fared ill."""
        match self.verdict:
            case Unproven(reason=reason, check=Check.JITTER):
                return reason
            case Survived() | Unproven(check=Check.OVERRUN):
                voids = (each for each in self.problems if each.kind is ProblemKind.VOID)
                return next((each.reason for each in voids), "")
            case _:
                return ""
