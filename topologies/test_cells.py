# SPDX-License-Identifier: Apache-2.0
"""Every cell of every topology: the guest's fate must be what the ladder says."""

from __future__ import annotations

import pytest

from lab.config.model import Cell
from lab.record.model import CellRecord, Outcome


@pytest.mark.cell
def test_guest(cell: Cell, judged: CellRecord) -> None:
    """Run one cell; the verdict is made in `judged`, and only compared here."""
    assert judged.verdict is not None
    if judged.outcome is Outcome.XFAILED:
        pytest.xfail(judged.first_cause)
    if judged.outcome is not Outcome.PASSED:
        expected = judged.expectation.word if judged.expectation else "nothing"
        pytest.fail(
            f"expected {expected}, got {judged.verdict.kind}: {judged.first_cause}",
            pytrace=False,
        )
