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
    """What came of a cell; filled in as it goes, so that a cell that breaks off has something."""

    cell: Cell
    verdict: Verdict | None = None
    delivered: Delivered | None = None
    found: Found | None = None
    phases: list[tuple[str, float]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)  # beside the verdict, as they were found
    facts: dict[str, Any] = field(default_factory=dict)
    evidence: Evidence | None = None  # what the verdict on a running guest rests on
    consoles: dict[str, list[str]] = field(default_factory=dict)  # by the name of their file
    struck_at: int | None = None  # lines on the host's console when it was struck

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
