# SPDX-License-Identifier: Apache-2.0
"""Exclusive use of this machine: a cell that judges time has it alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lab.config.model import Cell, DisruptionKind
from lab.deadline import Deadline
from lab.resources.admission import alone, together
from lab.runner.lab_session import LabSession

_TURN_S = 3600.0

# Calibration judges a length of time; everything else, whether the guest lives.
_JUDGES_TIME = frozenset({DisruptionKind.VCPU_STOP})


@contextmanager
def turn(lab_session: LabSession, cell: Cell) -> Iterator[None]:
    """Hold this machine for the block: alone if the cell judges time, else with other such cells.

    Args:
        lab_session: The run.
        cell: What is run.

    Raises:
        DeadlineError: Other cells have had the machine for an hour.
    """
    gate = alone if cell.disruption in _JUDGES_TIME else together
    with gate(lab_session.state, Deadline.after(_TURN_S), what=cell.id):
        yield
