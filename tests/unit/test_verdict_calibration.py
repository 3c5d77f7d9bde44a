# SPDX-License-Identifier: Apache-2.0
"""Calibration to the nanosecond: what is allowed, by how much it is off, and what is said."""

from __future__ import annotations

import pytest

from lab.verdict.calibration import Calibration, calibration

MS = 1_000_000


def test_a_right_measure_is_told_with_its_stop() -> None:
    told = "1000.0 ms were measured of a stop of 999.0 to 1001.0 ms"
    wanted = Calibration(True, 0, round(50.05 * MS), told)
    assert calibration(1000 * MS, 999 * MS, 1001 * MS) == wanted


def test_a_wrong_measure_is_told_by_how_much_it_is_off() -> None:
    told = "1100.0 ms were measured of a stop of 1000.0 to 1000.0 ms"
    wanted = Calibration(False, 100 * MS, 50 * MS, told)
    assert calibration(1100 * MS, 1000 * MS, 1000 * MS) == wanted


@pytest.mark.parametrize(
    ("measured", "right"),
    [(380 * MS, True), (380 * MS - 1, True), (360 * MS, True), (360 * MS - 1, False)],
)
def test_a_stop_known_to_just_what_is_allowed_calibrates(measured: int, *, right: bool) -> None:
    found = calibration(measured, 380 * MS, 400 * MS)
    assert (found.right, found.off_ns) == (right, 380 * MS - measured)


def test_a_stop_known_less_well_than_allowed_says_nothing() -> None:
    wanted = Calibration(False, 0, 20 * MS, "the stop itself is not known well enough")
    assert calibration(380 * MS, 380 * MS - 1, 400 * MS) == wanted


@pytest.mark.parametrize(("inner", "outer"), [(0, 0), (0, 5), (-1, 5), (20, 10)])
def test_a_stop_without_a_length_says_nothing(inner: int, outer: int) -> None:
    wanted = Calibration(False, 0, 20 * MS, "the stop has no length to compare with")
    assert calibration(10, inner, outer) == wanted


def test_a_stop_of_a_nanosecond_has_a_length() -> None:
    assert calibration(1, 1, 1).right
