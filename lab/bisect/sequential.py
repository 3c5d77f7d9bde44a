# SPDX-License-Identifier: Apache-2.0
"""How many runs it takes to call a commit good or bad; pure.

Source: A. Wald, "Sequential Tests of Statistical Hypotheses", Ann. Math. Statist. 16 (1945); that
a likelihood ratio passes 1/alpha with a probability of at most alpha is Ville's inequality.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from lab.errors import ConfigError


class Call(StrEnum):
    """What is known of a commit."""

    GOOD = "good"
    BAD = "bad"
    SKIP = "skip"
    OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class SequentialTest:
    """A sequential probability ratio test of one commit.

    A bad commit fails in a share `shows` of its runs or more, a good one in a share `noise` or
    less. With the thresholds 1/alpha and beta, in place of Wald's approximations, the bounds hold
    exactly, however often one looks.

    Attributes:
        shows: In what share of runs the fault shows, at the least; 0 to 1.
        noise: In what share of runs a good kernel fails, at the most; below `shows`.
        alpha: How likely a good commit may be called bad.
        beta: How likely a bad commit may be called good.
    """

    shows: float
    noise: float
    alpha: float
    beta: float

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ConfigError: They make no test.
        """
        if not 0 < self.noise < self.shows < 1:
            raise ConfigError(
                f"lab bisect: --noise={self.noise:g} and --shows={self.shows:g} make no test",
                hint="a good kernel fails less often than a bad one: 0 < noise < shows < 1",
            )
        if not (0 < self.alpha < 1 and 0 < self.beta < 1):
            raise ConfigError(
                f"lab bisect: --alpha={self.alpha:g} and --beta={self.beta:g} are no probabilities",
                hint="type numbers between 0 and 1, as --alpha=0.05",
            )

    def ratio(self, passed: int, failed: int) -> float:
        """Return the logarithm of how much likelier these runs are of a bad commit.

        Args:
            passed: How many runs were as expected.
            failed: How many were not.

        Returns:
            Above 0 if they are likelier of a bad one.
        """
        return failed * math.log(self.shows / self.noise) + passed * math.log(
            (1 - self.shows) / (1 - self.noise)
        )

    def call(self, passed: int, failed: int) -> Call:
        """Return what these runs make of a commit.

        Args:
            passed: How many runs were as expected.
            failed: How many were not.

        Returns:
            GOOD, BAD, or OPEN where more runs are needed.
        """
        ratio = self.ratio(passed, failed)
        if ratio >= -math.log(self.alpha):
            return Call.BAD
        return Call.GOOD if ratio <= math.log(self.beta) else Call.OPEN

    def shared(self, commits: int) -> SequentialTest:
        """Return the test of each of several commits, so that the bounds are of all together.

        Args:
            commits: How many there are, at the most.

        Returns:
            A test with as many times smaller bounds.
        """
        return SequentialTest(
            shows=self.shows,
            noise=self.noise,
            alpha=self.alpha / commits,
            beta=self.beta / commits,
        )

    @property
    def passes(self) -> int:
        """How many runs without a failure make a commit good."""
        return math.ceil(math.log(self.beta) / math.log((1 - self.shows) / (1 - self.noise)))

    @property
    def failures(self) -> int:
        """How many runs that all fail make a commit bad."""
        return math.ceil(-math.log(self.alpha) / math.log(self.shows / self.noise))


def commits_to_judge(between: int) -> int:
    """Return how many commits a search judges, both ends included, if it skips none.

    Args:
        between: How many commits the fault may have come with.

    Returns:
        How many, if git halves what is left each time.
    """
    return math.ceil(math.log2(max(between, 1))) + 2
