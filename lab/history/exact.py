# SPDX-License-Identifier: Apache-2.0
"""The exact interval of a rate, without scipy: reports are made where it is not installed."""

from __future__ import annotations

import math
from functools import lru_cache

_STEPS = 200  # of the continued fraction, at most
_TINY = 1e-300
_CLOSE = 1e-15
_HALVINGS = 60


@lru_cache(maxsize=4096)
def clopper_pearson(lived: int, judged: int, confidence: float) -> tuple[float, float]:
    """Return the interval of the rate of survival by Clopper and Pearson.

    It assumes that the guests lived or died independently, each with the same probability; then
    it has that probability in it in at least such a share of cases.

    Args:
        lived: How many guests lived.
        judged: Of how many.
        confidence: Such as 0.95.

    Returns:
        Its lower and upper end.

    Source: Clopper and Pearson, Biometrika 26 (1934): quantiles of two beta distributions.
    """
    tail = (1 - confidence) / 2
    lost = judged - lived
    low = _quantile(tail, lived, lost + 1) if lived else 0.0
    high = _quantile(1 - tail, lived + 1, lost) if lost else 1.0
    return low, high


def _quantile(share: float, a: float, b: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _beta(middle, a, b) < share:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _beta(x: float, a: float, b: float) -> float:
    """Return the regularized incomplete beta function.

    Source: DLMF 8.17.22, evaluated by Lentz's method; 8.17.4 where that converges faster.
    """
    if x <= 0 or x >= 1:
        return min(1.0, max(0.0, x))
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta(1 - x, b, a)
    front = a * math.log(x) + b * math.log1p(-x)
    front += math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    return math.exp(front) / a / _fraction(x, a, b)


def _fraction(x: float, a: float, b: float) -> float:
    found, c, d = 1.0, 1.0, 0.0
    for n in range(1, _STEPS + 1):
        m = n // 2
        if n % 2:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / (1 + term * d or _TINY)
        c = 1 + term / c or _TINY
        found *= c * d
        if abs(c * d - 1) < _CLOSE:
            break
    return found
