# SPDX-License-Identifier: Apache-2.0
"""How a test beside the cells comes out, and what is said of it, by what pytest reports."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab.errors import InfraError
from lab.pytest_plugin.checks import cause, outcome_of
from lab.record.model import Outcome


def report(outcome: str, when: str = "call", **more: Any) -> pytest.TestReport:
    told = {name: name == outcome for name in ("passed", "skipped", "failed")}
    more = {"longrepr": None, **more}
    return cast("pytest.TestReport", SimpleNamespace(**told, when=when, **more))


SKIP = ("file", 3, "Skipped: no such CPU")


@pytest.mark.parametrize(
    ("came", "raised", "outcome", "why"),
    [
        (report("passed"), None, "passed", ""),
        (
            report("failed"),
            AssertionError("it is silent"),
            "failed",
            "AssertionError: it is silent",
        ),
        (report("failed"), pytest.fail.Exception("DID NOT RAISE"), "failed", "DID NOT RAISE"),
        (report("failed"), pytest.fail.Exception("Timeout (>9.0s)"), "error", "Timeout"),
        (report("failed"), InfraError("no host"), "error", "InfraError: no host"),
        (report("failed", "setup"), AssertionError("x"), "error", "AssertionError: x"),
        (report("failed", "teardown"), OSError("busy"), "error", "OSError: busy"),
        (report("skipped", longrepr=SKIP), None, "skipped", "no such CPU"),
        (report("skipped", wasxfail="known"), AssertionError("y"), "xfailed", "known"),
        (report("failed", longrepr="[XPASS(strict)] known"), None, "xpassed", "XPASS"),
        (report("passed", wasxfail="known"), None, "xpassed", "known"),
    ],
)
def test_a_phase(
    came: pytest.TestReport, raised: BaseException | None, outcome: str, why: str
) -> None:
    assert outcome_of(came, raised) is Outcome(outcome)
    said = cause(came, raised)
    assert why in said
    assert bool(said) is bool(why)


def test_a_long_cause_is_cut() -> None:
    assert len(cause(report("failed"), AssertionError("z" * 9000))) < 600
