# SPDX-License-Identifier: Apache-2.0
"""What a case comes to in a record, and how a record differs from it; pure.

The record of a cell that has just ended is made here, and so is what it is verified against.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import JsonValue

from lab.record.expectation import decide
from lab.record.judged import verdict_record, witness_record
from lab.record.model import CellRecord, ExpectationRecord, Outcome, TimelineRecord, VerdictRecord
from lab.record.timeline import timeline_of
from lab.verdict.verdict import Scope
from lab.verify.case import Case, Judged, judged

_BROKE = re.compile(r"\w+: ")  # the type of an exception
_TRIED = "tried "  # how a record goes on where its cell was tried more than once


@dataclass(frozen=True, slots=True)
class Account:
    """The parts of a record that a case decides; no timeline is of memory alone."""

    verdict: VerdictRecord | None
    witness: dict[str, JsonValue]
    outcome: Outcome
    first_cause: str
    timeline: TimelineRecord | None


def account(wanted: ExpectationRecord, case: Case, came: Judged) -> Account:
    """Return what stands in the record of a case.

    Args:
        wanted: What the ladder expects of it.
        case: What it is judged by.
        came: What it comes to: `judged(case)`.

    Returns:
        Verdict, witness, outcome, first cause and timeline.
    """
    evidence = case.evidence
    verdict = verdict_record(came.verdict, case.sight, came.facts)
    witness = witness_record(evidence.disruption, case.done) if evidence.disruption else {}
    outcome, cause = decide(wanted, verdict, came.problems)
    running = evidence.scope is Scope.RUNNING  # of a guest that was stopped there is no plot
    return Account(
        verdict=verdict,
        witness=witness,
        outcome=outcome,
        first_cause=cause,
        timeline=timeline_of(evidence, case.marks) if running else None,
    )


def differences(cell: CellRecord, case: Case) -> tuple[str, ...]:
    """Judge a cell again, and compare all that comes of it with its record.

    Args:
        cell: The record.
        case: What its evidence holds.

    Returns:
        What differs, in words; nothing if all comes out the same.
    """
    if cell.expectation is None:
        return ("expectation: the record has none",)
    came = account(cell.expectation, case, judged(case))
    return (*_of_another_cell(cell, case), *_figures(cell, came), *_outcome(cell, came))


def _of_another_cell(cell: CellRecord, case: Case) -> Iterator[str]:
    yield from _differ("cell", cell.id, case.cell)
    for name, given in (
        ("disruption", case.disruption.value),
        ("vcpus", case.evidence.expected_vcpus),
    ):
        if name in cell.dimensions:
            yield from _differ(name, str(cell.dimensions[name]), str(given))


def _figures(cell: CellRecord, came: Account) -> Iterator[str]:
    for name in ("verdict", "timeline"):
        recorded, given = getattr(cell, name), getattr(came, name)
        yield from _differ(
            name,
            None if recorded is None else recorded.model_dump(mode="json"),
            None if given is None else given.model_dump(mode="json"),
        )
    yield from _differ("witness", dict(cell.witness), came.witness)


def _outcome(cell: CellRecord, came: Account) -> Iterator[str]:
    if cell.outcome is Outcome.ERROR and _BROKE.match(cell.first_cause):
        return  # the lab broke after the verdict; that is never a pass
    yield from _differ("outcome", cell.outcome.value, came.outcome.value)
    told, cause = cell.first_cause, came.first_cause
    if told != cause and not told.startswith(f"{cause}; {_TRIED}" if cause else _TRIED):
        yield from _differ("first_cause", told, cause)


def _differ(name: str, recorded: object, given: object) -> Iterator[str]:
    """Yield what differs of two values as JSON has them, each by its whole name."""
    if isinstance(recorded, dict) and isinstance(given, dict):
        for key in dict.fromkeys((*recorded, *given)):
            yield from _differ(f"{name}.{key}", recorded.get(key), given.get(key))
    elif isinstance(recorded, list) and isinstance(given, list) and len(recorded) == len(given):
        for n, (one, other) in enumerate(zip(recorded, given, strict=True)):
            yield from _differ(f"{name}.{n}", one, other)
    elif recorded != given or isinstance(recorded, bool) is not isinstance(given, bool):
        yield f"{name}: the record has {recorded!r}, the evidence gives {given!r}"
