# SPDX-License-Identifier: Apache-2.0
"""Ratios are of rounds, and their median is told: one bad round does not decide."""

from __future__ import annotations

from lab.stand.bench_swallowed import AIMS, told


def test_a_ratio_is_the_median_of_those_of_rounds() -> None:
    native = [{"fork": seconds} for seconds in (1.0, 2.0, 4.0)]
    swallowed = [{"fork": seconds} for seconds in (1.5, 2.2, 40.0)]
    found = told("fork", {"native": native, "swallowed": swallowed})
    assert found["swallowed_over_native"] == 1.5
    assert found["each"] == [1.5, 1.1, 10.0]
    assert found["aim"] == AIMS["fork"]
