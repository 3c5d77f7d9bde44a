# SPDX-License-Identifier: Apache-2.0
"""From what came of a cell to its record: the one place where outcomes get their names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lab.config.model import Cell
from lab.errors import BrokenHostError, ProductError, UnavailableError
from lab.record.doubt import PROBE
from lab.record.expectation import decide
from lab.record.judged import verdict_record, witness_record
from lab.record.model import CellRecord, ExpectationRecord, Outcome
from lab.record.plan import planned
from lab.record.timeline import excerpts
from lab.runner.result import CellResult
from lab.verify.account import Account, account
from lab.verify.case import Judged


def record_of(
    result: CellResult,
    *,
    rerun: str,
    evidence: str = "",
    repeat: int = 1,
) -> CellRecord:
    """Return the record of a cell that has ended.

    Args:
        result: What came of it.
        rerun: The command that runs this cell again.
        evidence: The folder of its evidence, within the run's; "" if there is none.
        repeat: Which repeat of this cell it was, from 1.

    Returns:
        The record, with outcome and first cause.
    """
    plan = planned(result.cell, rerun=rerun, repeat=repeat)
    assert plan.expectation is not None  # noqa: S101 - a cell of the ladder has one
    told = _told(plan.expectation, result)
    return CellRecord(
        **{name: getattr(plan, name) for name in type(plan).model_fields},
        outcome=told.outcome,
        verdict=told.verdict,
        witness=told.witness,
        duration_s=round(sum(s for _, s in result.phases), 3),
        phases=tuple((label, round(s, 3)) for label, s in result.phases),
        evidence=evidence,
        first_cause=told.first_cause,
        timeline=told.timeline,
        consoles=excerpts(
            result.consoles,
            result.case.evidence if result.case and told.timeline else None,
            result.struck_at,
        ),
    )


def unavailable(
    cell: Cell, reason: str, *, probe: str, saw: str, rerun: str, repeat: int = 1
) -> CellRecord:
    """Return the record of a cell that cannot be run here.

    Args:
        cell: The cell.
        reason: Why.
        probe: What was asked of this machine.
        saw: What it said: the evidence.
        rerun: The command that runs this cell.
        repeat: Which repeat of this cell it would be, from 1.

    Returns:
        A record of outcome `unavailable`.
    """
    result = CellResult(cell=cell, broke=UnavailableError(reason))
    record = record_of(result, rerun=rerun, repeat=repeat)
    return record.model_copy(update={"witness": {"kind": "Probed", PROBE: probe, "saw": saw}})


def _told(wanted: ExpectationRecord, result: CellResult) -> Account:
    verdict, case = result.verdict, result.case
    if case is not None and verdict is not None:
        came = Judged(verdict, result.facts, result.problems)
        told = account(wanted, case, came)
        return told if result.broke is None else replace(told, **_broken(result.broke))
    witness = result.delivered and witness_record(result.delivered.witness, result.delivered.facts)
    said = verdict_record(verdict, None, result.facts) if verdict else None
    told = Account(said, witness or {}, Outcome.ERROR, "it came to no verdict", None)
    if result.broke is not None:
        return replace(told, **_broken(result.broke))
    if said is None:
        return told
    outcome, cause = decide(wanted, said, result.problems)
    return replace(told, outcome=outcome, first_cause=cause)


def _broken(broke: Exception) -> dict[str, Any]:
    if isinstance(broke, UnavailableError):
        return {"outcome": Outcome.UNAVAILABLE, "first_cause": str(broke)}
    if isinstance(broke, ProductError):
        return {"outcome": Outcome.FAILED, "first_cause": str(broke)}
    if isinstance(broke, BrokenHostError):
        return {"outcome": Outcome.SKIPPED, "first_cause": str(broke)}
    return {"outcome": Outcome.ERROR, "first_cause": f"{type(broke).__name__}: {broke}"}
