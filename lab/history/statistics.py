# SPDX-License-Identifier: Apache-2.0
"""The claims that counts allow. scipy is imported here only, and only to compare two kernels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, median
from typing import Any

from lab.errors import UnavailableError

CLAIM = 0.01  # "fewer than one in a hundred is lost"
CONFIDENCE = 0.95
_FEWEST = 3  # of each kernel, for ranks to say anything


@dataclass(frozen=True, slots=True)
class Survival:
    """How many of `judged` guests lived, and the claim that the counts allow.

    Attributes:
        low: The lower end of the Wilson interval of the rate of survival, at 95 %.
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
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    middle = (2 * lived + z * z) / (2 * (judged + z * z))
    half = z * math.sqrt(4 * lived * (judged - lived) / judged + z * z) / (2 * (judged + z * z))
    low = middle - half if lived else 0.0
    high = middle + half if lived < judged else 1.0
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


def discovered(p: Sequence[float]) -> list[float]:
    """Adjust p-values for how many there are (Benjamini and Hochberg's false discovery rate).

    Raises:
        UnavailableError: scipy is not installed.
    """
    return [float(each) for each in _scipy_stats().false_discovery_control(p)] if p else []


def _scipy_stats() -> Any:
    try:
        from scipy import stats  # noqa: PLC0415 - takes most of a second, and few commands need it
    except ImportError as e:
        raise UnavailableError(
            f"comparing kernels needs scipy, and it cannot be imported: {e}",
            hint="pip install 'caretaker-lab[stats]'",
        ) from e
    return stats
