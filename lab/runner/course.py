# SPDX-License-Identifier: Apache-2.0
"""The course of one try of a cell, noted as it goes: one that breaks off has come so far."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from lab.config.model import Cell
from lab.disruption.delivered import Delivered
from lab.observe.eye import Found
from lab.observe.window import Window
from lab.runner.result import CellResult, Fact, RanOn
from lab.verdict.evidence import Evidence
from lab.verdict.problem import Problem
from lab.verdict.verdict import Verdict
from lab.verify.case import Case, judged


@dataclass(frozen=True, slots=True)
class Settled:
    """What a verdict rests on.

    Attributes:
        evidence: What was known.
        found: What the eye saw until then.
        key: The key of the guest's beacon.
        resumed: The stretch from its resumption on; None if it was not stopped.
        why: What it had been stopped for.
    """

    evidence: Evidence
    found: Found
    key: bytes = field(repr=False)
    resumed: Window | None
    why: str


@dataclass(slots=True)
class Course:
    """How far a try has come; the result of a cell is made of it once, when it has ended.

    Attributes:
        phases: What was done, in order, and for how many seconds.
        struck_at: How many lines of the host's console had come when the guest was struck.
        delivered: What was done to the guest, and its witness.
        found: What the outside eye saw.
        settled: What the verdict rests on.
        ran_on: Its host, once it has done with it.
        verdict: What the judge said.
        facts: What else was seen, for the record's figures.
        problems: What is wrong beside the verdict, in the order in which it was found.
        consoles: The lines of each console, by its file's name.
    """

    phases: list[tuple[str, float]] = field(default_factory=list)
    struck_at: int | None = None
    delivered: Delivered | None = None
    found: Found | None = None
    settled: Settled | None = None
    ran_on: RanOn | None = None
    verdict: Verdict | None = None
    facts: dict[str, Fact] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    consoles: Mapping[str, list[str]] = field(default_factory=dict)

    @contextmanager
    def phase(self, label: str) -> Iterator[None]:
        """Time the block as a phase of the cell.

        Args:
            label: What the phase is called in the record.
        """
        began = time.monotonic()
        try:
            yield
        finally:
            self.phases.append((label, time.monotonic() - began))

    def result(
        self, cell: Cell, broke: Exception | None = None, case: Case | None = None
    ) -> CellResult:
        """Return what came of the try, which has ended.

        Args:
            cell: What was run.
            broke: What ended it, if the lab did.
            case: What it is judged by, as it was read back from its file; None if it came to
                nothing that can be judged.
        """
        came = judged(case) if case is not None else None
        return CellResult(
            cell=cell,
            verdict=came.verdict if came else self.verdict,
            broke=broke,
            delivered=self.delivered,
            found=self.found,
            phases=tuple(self.phases),
            problems=came.problems if came else tuple(self.problems),
            facts=came.facts if came else dict(self.facts),
            case=case,
            ran_on=self.ran_on,
            consoles=self.consoles,
            struck_at=self.struck_at,
        )
