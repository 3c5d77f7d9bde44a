# SPDX-License-Identifier: Apache-2.0
"""What counts allow one to claim, against figures that are known from elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from scipy import stats

from lab.errors import UnavailableError
from lab.history.statistics import holm, odds, ranks, survival


def test_299_in_a_row_claim_fewer_than_one_in_a_hundred_at_95() -> None:
    assert survival(0, 0).needed == 299
    assert survival(298, 298).needed == 1
    assert survival(299, 299).needed == 0
    assert 0.99**299 < 0.05 < 0.99**298


def test_each_loss_makes_the_claim_dearer() -> None:
    assert survival(9, 10).needed == 473 - 10  # Poisson's 4.74 losses, over 1 %
    assert survival(8, 10).needed > survival(9, 10).needed > survival(10, 10).needed


def test_the_interval_is_exact() -> None:
    found = survival(8, 10)  # of many a table
    assert (found.low, found.high) == pytest.approx((0.44390, 0.97479), abs=1e-5)
    assert (survival(0, 0).low, survival(0, 0).high) == (0.0, 1.0)
    whole = survival(10, 10)
    assert (whole.low, whole.high) == pytest.approx((0.025**0.1, 1.0))  # by hand
    none = survival(0, 10)
    assert (none.low, none.high) == pytest.approx((0.0, 1 - 0.025**0.1))


@pytest.mark.parametrize("lost", [*range(12), 50, 200, 500])
@pytest.mark.parametrize("lived", [0, 1, 7, 300])
def test_counts_are_those_of_scipy(lived: int, lost: int) -> None:
    """Reports are made where scipy is not; beside `lab compare` nothing needs it."""
    found, judged = survival(lived, lived + lost), lived + lost
    trials = lost + 1 + int(stats.nbinom.ppf(0.95, lost + 1, 0.01))
    assert found.needed == max(0, trials - judged)
    if judged:
        exact = stats.binomtest(lived, judged).proportion_ci(0.95, method="exact")
        assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=1e-9)


@pytest.mark.parametrize(
    "compare",
    [lambda: ranks([1, 2, 3], [1, 2, 3]), lambda: odds(1, 2, 3, 4)],
    ids=["ranks", "odds"],
)
def test_comparing_without_scipy_says_what_to_install(
    compare: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)  # as if it were not installed
    with pytest.raises(UnavailableError) as e:
        compare()
    assert str(e.value).endswith("hint: pip install 'caretaker-lab[stats]'")
    survival(3, 5)
    assert ranks([1], [2]).why_not


def test_ranks_tell_a_shift_from_none() -> None:
    same = ranks([10, 12, 11, 13, 12], [11, 12, 10, 13, 11])
    worse = ranks([10, 12, 11, 13, 12], [40, 41, 44, 43, 42])
    assert same.p is not None
    assert worse.p is not None
    assert same.p > 0.5
    assert worse.p < 0.02
    assert (worse.median_a, worse.median_b) == (12, 42)


def test_too_few_silences_have_no_p_value() -> None:
    found = ranks([10.0, 11.0], [12.0, 13.0, 14.0])
    assert found.p is None
    assert found.why_not == "2 and 3 silences; 3 of each are needed"


def test_odds_are_fishers() -> None:
    assert odds(3, 1, 1, 3) == pytest.approx(0.4857, abs=1e-4)  # his tea


def test_many_comparisons_are_paid_for() -> None:
    # Holm's own rule: the least times 3, the next times 2, never less than the one before.
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.02, 0.9, 0.8]) == pytest.approx([0.06, 1.0, 1.0])
    assert holm([0.5]) == [0.5]
    assert holm([]) == []


def test_the_interval_holds_for_many_guests() -> None:
    found = survival(9_990, 10_000)
    assert (found.low, found.high) == pytest.approx((0.998162, 0.999520), abs=2e-6)
