# SPDX-License-Identifier: Apache-2.0
"""What counts allow one to claim. The only place that imports scipy, and only when it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

CLAIM = 0.01  # "fewer than one in a hundred is lost"
CONFIDENCE = 0.95
_FEWEST = 3  # of each kernel, for ranks to say anything


@dataclass(frozen=True, slots=True)
class Survival:
    """How many of `judged` guests lived, and what that allows one to claim.

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
    """Work out what `lived` of `judged` allows one to claim."""
    from scipy import stats  # noqa: PLC0415 - takes most of a second, and few commands need it

    lost = judged - lived
    # The fewest trials in which so few losses are no chance of 5 % if one in a hundred is lost.
    trials = lost + 1 + int(stats.nbinom.ppf(CONFIDENCE, lost + 1, CLAIM))
    if judged == 0:
        return Survival(0, 0, 0.0, 1.0, trials)
    interval = stats.binomtest(lived, judged).proportion_ci(CONFIDENCE, method="wilson")
    return Survival(
        lived, judged, float(interval.low), float(interval.high), max(0, trials - judged)
    )


def ranks(a: Sequence[float], b: Sequence[float]) -> Ranks:
    """Test whether silences of one kernel tend to be longer than the other's, two-sided."""
    import numpy as np  # noqa: PLC0415 - comes with scipy
    from scipy import stats  # noqa: PLC0415 - as above

    medians = [float(np.median(each)) if each else None for each in (a, b)]
    if min(len(a), len(b)) < _FEWEST:
        why = f"{len(a)} and {len(b)} silences; {_FEWEST} of each are needed"
        return Ranks(medians[0], medians[1], None, why)
    p = float(stats.mannwhitneyu(a, b, alternative="two-sided").pvalue)
    return Ranks(medians[0], medians[1], p)


def odds(lived_a: int, died_a: int, lived_b: int, died_b: int) -> float:
    """Give Fisher's p-value that guests die as often on one kernel as on the other."""
    from scipy import stats  # noqa: PLC0415 - as above

    return float(stats.fisher_exact([[lived_a, died_a], [lived_b, died_b]]).pvalue)


def discovered(p: Sequence[float]) -> list[float]:
    """Adjust p-values for how many there are (Benjamini and Hochberg's false discovery rate)."""
    from scipy import stats  # noqa: PLC0415 - as above

    return [float(each) for each in stats.false_discovery_control(p)] if p else []
