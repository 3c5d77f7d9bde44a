# SPDX-License-Identifier: Apache-2.0
"""What a test says of a cell that was judged: nothing more than whether it is as expected."""

from __future__ import annotations

import pytest

from lab.record.model import CellRecord, Outcome


def insist_as_expected(judged: CellRecord) -> None:
    """Pass if a cell came out as its topology expects; the verdict was made by fixture `judged`.

    Args:
        judged: The record of a cell that was run; without a verdict, its kernel failed before.

    Raises:
        pytest.xfail.Exception: It is an expected failure, and failed; says why.
        pytest.fail.Exception: It came out otherwise; says what was expected, and the first cause.
    """
    if judged.outcome is Outcome.XFAILED:
        pytest.xfail(judged.first_cause)
    if judged.outcome is not Outcome.PASSED:
        expected = judged.expectation.word if judged.expectation else "nothing"
        pytest.fail(
            f"expected {expected}, got {judged.verdict.kind if judged.verdict else 'no verdict'}: "
            f"{judged.first_cause}",
            pytrace=False,
        )
