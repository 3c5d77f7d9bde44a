# SPDX-License-Identifier: Apache-2.0
"""The detection curve: from what a test told, by its record, to the page."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from lab.pytest_plugin.checks import detections
from lab.record.model import CheckRecord, DetectionRecord, Outcome, RunRecord
from lab.report.detection import Dot, curves
from lab.report.page import index_html
from tests.support.records import cell, run


def stop(share: float, verdict: Any, guest: str = "spinner") -> DetectionRecord:
    return DetectionRecord(
        guest=guest, stop_ms=3000 * share, limit_ms=3000, verdict=verdict, check="silence"
    )


SHARP = (stop(1.1, "Lost"), stop(0.9, "Survived"), stop(0.5, "Survived"))


def test_a_curve_is_drawn_for_each_kind_of_guest() -> None:
    found = curves([*SHARP, stop(0.5, "Survived", "linux")])
    assert [curve.guest for curve in found] == ["linux", "spinner"]
    spinner = found[1]
    assert [dot.x for dot in spinner.dots] == [25.0, 45.0, 55.0]
    assert [dot.mark for dot in spinner.dots] == ["lived", "lived", "lost"]
    assert spinner.dots[2].text == "stopped for 3.30 s, 110 % of the limit: Lost by silence"


@pytest.mark.parametrize(
    ("more", "sharp"),
    [
        ((), True),
        ((stop(0.95, "Lost"),), False),
        ((stop(0.95, "Unproven"),), False),
        ((stop(1.0, "Survived"),), False),
        ((stop(1.5, "Survived"),), False),
        ((stop(1.5, "Unproven"),), False),
        ((stop(1.0, "Lost"),), True),
    ],
)
def test_a_curve_is_sharp_if_the_limit_is_where_it_turns(
    more: tuple[DetectionRecord, ...], sharp: bool
) -> None:
    (curve,) = curves([*SHARP, *more])
    assert curve.sharp is sharp


def test_a_stop_of_more_than_twice_the_limit_is_at_the_edge() -> None:
    (curve,) = curves([stop(7, "Lost")])
    assert curve.dots == (
        Dot(100.0, "lost", "stopped for 21.00 s, 700 % of the limit: Lost by silence"),
    )


def test_a_curve_is_told_in_words() -> None:
    (curve,) = curves([*SHARP, stop(1.2, "Unproven")])
    assert curve.description == (
        "spinner: of 2 stops below the limit, 2 were lived through, 0 were losses, 0 could not be "
        "told. spinner: of 2 stops above the limit, 0 were lived through, 1 were losses, 1 could "
        "not be told."
    )


def with_check(*found: DetectionRecord) -> RunRecord:
    check = CheckRecord(id="a", outcome=Outcome.PASSED, detections=found)
    return run(cell()).model_copy(update={"checks": (check,)})


def test_the_page_has_the_curves_of_a_run_that_has_any() -> None:
    assert 'id="detection"' not in index_html(with_check())
    page = index_html(with_check(*SHARP))
    assert 'id="detection"' in page
    assert page.count("of the limit: ") == 3
    assert "not as it has to be" not in page
    assert "not as it has to be" in index_html(with_check(stop(1.5, "Survived")))


def told(*properties: tuple[str, object]) -> Any:
    return SimpleNamespace(user_properties=list(properties))


def test_what_a_test_told_is_in_its_record() -> None:
    value = stop(0.9, "Survived").model_dump()
    assert detections(told(("other", 1), ("detection", value))) == (stop(0.9, "Survived"),)


@pytest.mark.parametrize("wrong", [{"verdict": "Fine"}, {"stop_ms": float("nan")}, {"limit_ms": 0}])
def test_what_is_no_stop_is_refused(wrong: dict[str, object]) -> None:
    value = stop(0.9, "Survived").model_dump() | wrong
    with pytest.raises(ValidationError):
        detections(told(("detection", value)))
