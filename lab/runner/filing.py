# SPDX-License-Identifier: Apache-2.0
"""The evidence of a try on file: what is judged in the end is what can be read back from there."""

from __future__ import annotations

from pathlib import Path

from lab.config.model import Cell
from lab.errors import ConfigError, InfraError
from lab.runner.course import Course
from lab.verify import evidence_file
from lab.verify.case import Case


def filed(folder: Path, cell: Cell, course: Course) -> Case | None:
    """Write what a try is judged by, and read it back.

    Args:
        folder: Where its evidence is.
        cell: What was run.
        course: How far it came.

    Returns:
        What was read back; None of a try that broke off before it could be judged, of which beats
        are kept if there are any.

    Raises:
        InfraError: It cannot be written, or cannot be read back.
    """
    path = folder / evidence_file.NAME
    path.unlink(missing_ok=True)  # of a try before
    try:
        if course.settled is None:
            if course.found is not None:
                evidence_file.save_beats(path, course.found)
            return None
        evidence_file.save(path, _case(cell, course))
        return evidence_file.load(path)
    except (OSError, ConfigError) as e:
        raise InfraError(f"the evidence of {cell.id} cannot be written: {e}") from e


def _case(cell: Cell, course: Course) -> Case:
    settled, delivered = course.settled, course.delivered
    assert settled is not None and delivered is not None  # noqa: S101, PT018 - it was judged
    return Case(
        cell=cell.id,
        disruption=cell.disruption,
        key=settled.key,
        evidence=settled.evidence,
        resumed=settled.resumed,
        why=settled.why,
        done=dict(delivered.facts),
        facts=dict(course.facts),
        problems=tuple(course.problems),
        sight=settled.found.sight,
        marks=settled.found.marks,
    )
