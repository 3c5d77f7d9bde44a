# SPDX-License-Identifier: Apache-2.0
"""What came of a cell."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from lab.config.model import Cell
from lab.disruption.delivered import Delivered
from lab.observe.eye import Found
from lab.verdict.evidence import Evidence
from lab.verdict.problem import Problem, ProblemKind
from lab.verdict.verdict import Verdict


@dataclass(slots=True)
class CellResult:
    """What came of a cell; filled in as it goes, so that a cell that breaks off has something.

    Only the runner fills it in, by appending; what a report may know is in its record, which is
    frozen.

    Attributes:
        cell: What was run.
        verdict: What the judge said, once it has.
        delivered: What was done to the guest, and its witness.
        found: What the outside eye saw.
        phases: What was done, in order, and for how many seconds.
        problems: What is wrong beside the verdict, in the order in which it was found.
        facts: What else was seen, for the record's figures.
        evidence: What the verdict on a running guest rests on.
        consoles: The lines of each console, by its file's name.
        struck_at: How many lines of the host's console had come when the guest was struck.
    """

    cell: Cell
    verdict: Verdict | None = None
    delivered: Delivered | None = None
    found: Found | None = None
    phases: list[tuple[str, float]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    evidence: Evidence | None = None
    consoles: dict[str, list[str]] = field(default_factory=dict)
    struck_at: int | None = None

    def add(self, kind: ProblemKind, reason: str) -> None:
        """Note something that is wrong.

        Args:
            kind: With what.
            reason: What it is; "" for nothing.
        """
        if reason:
            self.problems.append(Problem(kind, reason))

    def first(self, kind: ProblemKind) -> Problem | None:
        """Return the problem of that kind that was found first; None if there is none."""
        return next((problem for problem in self.problems if problem.kind is kind), None)

    @contextmanager
    def phase(self, label: str) -> Iterator[None]:
        """Time a phase of the cell, in seconds."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.phases.append((label, time.monotonic() - began))
