# SPDX-License-Identifier: Apache-2.0
"""Tests that were tried more than once: what another try can change of an outcome, and what not.

A resumed run tries again what broke, and the later try counts. Within one sitting a plugin of
pytest has retried the test: then the worst try counts, and the test is flaky if its tries differ.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from lab.record.files import file_name
from lab.record.model import CellRecord, CheckRecord, Outcome
from lab.record.parts import TryRecord

_PRODUCT = frozenset({Outcome.FAILED, Outcome.XPASSED})
_WORST = (_PRODUCT, frozenset({Outcome.ERROR}), frozenset({Outcome.SKIPPED}))
_LOST = "LeftNoRecord: a try before left no record: its worker died"

Test = TypeVar("Test", CellRecord, CheckRecord)


def begin_try(folder: Path, name: str, sitting: str) -> bool:
    """Note that a test begins, and return whether it did so before in the same sitting.

    Args:
        folder: The run's folder.
        name: The cell's key, or the test's id.
        sitting: The id of this sitting: a resumed run has a new one.

    Returns:
        True if it is tried again; also where the try before left no record.
    """
    path = folder / "tries" / file_name(name)
    path.parent.mkdir(exist_ok=True)
    before = path.read_text(encoding="utf-8").split() if path.exists() else []
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{sitting}\n")
    return sitting in before


def flaky(test: CellRecord | CheckRecord) -> bool:
    """Return whether a test was retried in one sitting, and came out in more than one way.

    Args:
        test: A cell, or a test beside the cells.

    Returns:
        False for one that was tried once.
    """
    return len({each.outcome for each in test.tries}) > 1


def after(before: CellRecord, now: CellRecord, *, again: bool) -> CellRecord:
    """Return the record of a cell that has one already.

    A failure of the product stays one whatever a later try says; of other tries the last counts,
    or, if it was retried in one sitting, the worst.

    Args:
        before: The record there is.
        now: That of the later try.
        again: Whether both are of one sitting.

    Returns:
        A record that tells of both.
    """
    counts, other, when = now, before, "before"
    if _outweighs(before, now, again=again):
        counts, other, when = before, now, "again"
    why = other.first_cause or (other.verdict.reason if other.verdict else "no reason")
    own = f"{counts.first_cause}; " if counts.first_cause else ""
    told = f"{own}tried {when}, {other.outcome}: {why}"
    tries = _tries(before, now) if again else ()
    return counts.model_copy(update={"first_cause": told, "tries": tries})


def check_after(before: CheckRecord, now: CheckRecord, *, again: bool) -> CheckRecord:
    """Return the record of a test beside the cells that has one already, as `after` does.

    Args:
        before: The record there is.
        now: That of the later try.
        again: Whether both are of one sitting.

    Returns:
        A record that tells of both.
    """
    told = f"tried before, {before.outcome}: {before.first_cause or 'no reason'}"
    counts = before if _outweighs(before, now, again=again) else now
    update = {
        "outcome": counts.outcome,
        "first_cause": f"{now.outcome}: {now.first_cause or 'no reason'}; {told}",
        "tries": _tries(before, now) if again else (),
    }
    return now.model_copy(update=update)


def after_none(now: Test) -> Test:
    """Return the record of a retried test whose try before left none: that is no pass.

    Args:
        now: The record of the later try.

    Returns:
        A record that tells of both.
    """
    lost = TryRecord(outcome=Outcome.ERROR, first_cause=_LOST)
    update: dict[str, object] = {"tries": (lost, *tries_of(now))}
    if _severity(now.outcome) > _severity(Outcome.ERROR):
        why = now.first_cause or "no reason"
        told = f"{_LOST}; tried again, {now.outcome}: {why}"
        update |= {"outcome": Outcome.ERROR, "first_cause": told}
    return now.model_copy(update=update)


def worst_of(outcomes: Iterable[Outcome]) -> Outcome:
    """Return the outcome that counts of tries in one sitting.

    Args:
        outcomes: Those of the tries, in order; at least one.

    Returns:
        The worst of them.
    """
    return min(outcomes, key=_severity)


def tries_of(test: CellRecord | CheckRecord) -> tuple[TryRecord, ...]:
    """Return the tries of a record; one that was not retried has one.

    Args:
        test: A cell, or a test beside the cells.

    Returns:
        The tries in order.
    """
    return test.tries or (TryRecord(outcome=test.outcome, first_cause=test.first_cause),)


def _tries(
    before: CellRecord | CheckRecord, now: CellRecord | CheckRecord
) -> tuple[TryRecord, ...]:
    return (*tries_of(before), *tries_of(now))


def _outweighs(before: Test, now: Test, *, again: bool) -> bool:
    if before.outcome in _PRODUCT:
        return True
    return again and _severity(before.outcome) < _severity(now.outcome)


def _severity(outcome: Outcome) -> int:
    return next((n for n, each in enumerate(_WORST) if outcome in each), len(_WORST))
