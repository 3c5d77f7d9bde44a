# SPDX-License-Identifier: Apache-2.0
"""A guest is not lost because the machine under its host was stopped."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lab.errors import InfraError
from lab.stand.cell import insist_running


def host(state: str) -> Any:
    return SimpleNamespace(role="a", domain=SimpleNamespace(state=lambda: state))


def test_a_host_that_runs_is_judged() -> None:
    insist_running(host("running"))


@pytest.mark.parametrize("state", ["paused", "off", "crashed", "gone"])
def test_a_host_that_was_stopped_from_outside_tells_nothing_of_its_guest(state: str) -> None:
    with pytest.raises(InfraError, match=f"a is {state}"):
        insist_running(host(state))
