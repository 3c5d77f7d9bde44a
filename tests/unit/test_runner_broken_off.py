# SPDX-License-Identifier: Apache-2.0
"""A cell that breaks off has what it came to: witness, beats and phases; but no verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.errors import InfraError
from lab.observe.identity import Happened
from lab.record.model import Outcome
from lab.runner.recording import record_of
from lab.runner.retry import attempted
from tests.support.simulated_cell import Driver, cell_of_an_orphan, simulated_pool


def test_a_cell_that_breaks_off_has_what_it_came_to(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def adopt(*_: Any) -> None:
        raise InfraError("the adopter did not start")

    monkeypatch.setattr(Driver, "adopt", adopt)
    pool, evidence = simulated_pool(monkeypatch, tmp_path), tmp_path / "evidence"
    result = attempted(pool, cell_of_an_orphan(), evidence)
    host = pool.detach()
    assert host is not None
    assert host.tainted, "a host whose cell broke off was left to the next one"

    assert str(result.broke) == "the adopter did not start"
    assert result.verdict is None
    assert result.delivered is not None
    assert isinstance(result.delivered.witness, Happened)
    assert result.found is not None
    assert len(result.found.trails[0].stamps) > 100
    assert (evidence / "beats.json.gz").stat().st_size > 100
    record = record_of(result, rerun="lab run X")
    assert (record.outcome, record.first_cause) == (
        Outcome.ERROR,
        "InfraError: the adopter did not start",
    )
    assert record.witness["what"] == "SIGKILL: process 101 is gone"
    assert [label for label, _ in record.phases][-2:] == ["adopt", "evidence"]
