# SPDX-License-Identifier: Apache-2.0
"""The claims that counts allow. scipy is imported here only, and only to compare two kernels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from lab.errors import UnavailableError
from lab.history.exact import clopper_pearson

CLAIM = 0.01  # "fewer than one in a hundred is lost"
CONFIDENCE = 0.95
_FEWEST = 3  # of each kernel, for ranks to say anything


@dataclass(frozen=True, slots=True)
class Survival:
    """How many of `judged` guests lived, and the claim that the counts allow.

    Attributes:
        low: The lower end of the exact interval of the rate of survival, at 95 %.
        high: Its upper end.
        needed: So many more must live, one after another, before fewer than 1 % lost can be
            claimed at 95 %; 0 when it can be.
    """

    lived: int
    judged: int
    low: float
    high: float
    needed: int


@dataclass(frozen=True, slots=True)
class Ranks:
    """Silences of two kernels by the Mann-Whitney U test; `p` is None where there are too few."""

    median_a: float | None
    median_b: float | None
    p: float | None
    why_not: str = ""


def survival(lived: int, judged: int) -> Survival:
    """Return the claim that a count of survivors allows; reports need it, so without scipy.

    Args:
        lived: How many guests lived.
        judged: Of how many.

    Returns:
        Counts, interval, and how many more are needed.
    """
    needed = max(0, _trials(judged - lived) - judged)
    if judged == 0:
        return Survival(0, 0, 0.0, 1.0, needed)
    low, high = clopper_pearson(lived, judged, CONFIDENCE)
    return Survival(lived, judged, low, high, needed)


def _trials(lost: int) -> int:
    """Return the fewest trials in which `lost` losses speak against one in a hundred, at 95 %.

    The number of trials until loss `lost` + 1, if each is lost with that probability, has a
    negative binomial distribution; this is its quantile. In logarithms: many losses underflow.
    """
    losses, lives = lost + 1, 0
    chance = losses * math.log(CLAIM)
    total = math.exp(chance)
    while total < CONFIDENCE:
        chance += math.log((losses + lives) / (lives + 1)) + math.log1p(-CLAIM)
        lives += 1
        total += math.exp(chance)
    return losses + lives


def ranks(a: Sequence[float], b: Sequence[float]) -> Ranks:
    """Test whether silences of one kernel tend to be longer than the other's, two-sided.

    Raises:
        UnavailableError: scipy is not installed.
    """
    medians = [float(median(each)) if each else None for each in (a, b)]
    if min(len(a), len(b)) < _FEWEST:
        why = f"{len(a)} and {len(b)} silences; {_FEWEST} of each are needed"
        return Ranks(medians[0], medians[1], None, why)
    p = float(_scipy_stats().mannwhitneyu(a, b, alternative="two-sided").pvalue)
    return Ranks(medians[0], medians[1], p)


def odds(lived_a: int, died_a: int, lived_b: int, died_b: int) -> float:
    """Return Fisher's p-value that guests die as often on one kernel as on the other.

    Raises:
        UnavailableError: scipy is not installed.
    """
    return float(_scipy_stats().fisher_exact([[lived_a, died_a], [lived_b, died_b]]).pvalue)


def holm(p: Sequence[float]) -> list[float]:
    """Adjust p-values for how many there are, so that one false alarm in all is as rare as said.

    Args:
        p: All p-values of one comparison; the tests need not be independent.

    Returns:
        The adjusted ones, in the same order.

    Source: Holm, Scandinavian Journal of Statistics 6 (1979).
    """
    adjusted, least = [0.0] * len(p), 0.0
    for rank, n in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        least = max(least, min(1.0, (len(p) - rank) * p[n]))
        adjusted[n] = least
    return adjusted


def _scipy_stats() -> Any:
    try:
        from scipy import stats  # noqa: PLC0415 - takes most of a second, and few commands need it
    except ImportError as e:
        raise UnavailableError(
            f"comparing kernels needs scipy, and it cannot be imported: {e}",
            hint="pip install 'caretaker-lab[stats]'",
        ) from e
    return stats
