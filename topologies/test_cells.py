# SPDX-License-Identifier: Apache-2.0
"""Every cell of every topology: the guest's fate must be what the ladder says."""

from __future__ import annotations

import pytest

from lab.config.model import Cell
from lab.record.model import CellRecord
from lab.testing.expected import insist_as_expected


@pytest.mark.cell
def test_guest(cell: Cell, judged: CellRecord) -> None:
    """Run one cell; the verdict is made in `judged`, and only compared here."""
    insist_as_expected(judged)
