# SPDX-License-Identifier: Apache-2.0
"""The verdict against the expectation: the one place where the two meet; pure.

Both are taken as they stand in a record, so that a run that has ended is judged by the same rule
as a cell that has just ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

from lab.config.enums import Scope
from lab.record.model import ExpectationRecord, Outcome, VerdictRecord
from lab.verdict.problem import Problem, ProblemKind
from lab.verdict.verdict import Check


class Match(StrEnum):
    """How a verdict stands to an expectation."""

    AS_EXPECTED = "as expected"
    OTHERWISE = "otherwise"  # the kernel, VMM or guest under test is to blame
    CANNOT_TELL = "cannot tell"  # the lab, or a missing witness
    KNOWN_FAILURE = "known failure"
    UNEXPECTED_PASS = "unexpected pass"  # noqa: S105


OUTCOMES: Mapping[Match, Outcome] = {
    Match.AS_EXPECTED: Outcome.PASSED,
    Match.OTHERWISE: Outcome.FAILED,
    Match.CANNOT_TELL: Outcome.ERROR,
    Match.KNOWN_FAILURE: Outcome.XFAILED,
    Match.UNEXPECTED_PASS: Outcome.XPASSED,
}
# What a problem makes of any outcome that is expected, or better; of several kinds, the first here
# counts.
_INSTEAD = {ProblemKind.PRODUCT: Outcome.FAILED, ProblemKind.FIGURES: Outcome.ERROR}
_PROVEN = frozenset({Outcome.PASSED, Outcome.XFAILED, Outcome.XPASSED})
# Harm that the same guest may outlive; after any other loss, what beats is another guest.
_HARM = frozenset(
    {
        Check.SILENCE,
        Check.GUEST_SILENCE,
        Check.CLOCK,
        Check.CLOCK_RATE,
        Check.CLOCK_STEP,
        Check.BEAT_RATE,
        Check.FAULTS,
        Check.RAM,
    }
)
# By what a control is lost where its expectation does not name it.
_USUAL = {
    Scope.RUNNING: frozenset({Check.SILENCE, Check.NOWHERE}),
    Scope.MEMORY: frozenset({Check.MEMORY}),
}


def decide(
    wanted: ExpectationRecord, said: VerdictRecord, problems: Sequence[Problem] = ()
) -> tuple[Outcome, str]:
    """Decide the outcome of a judged cell.

    Args:
        wanted: What the ladder expects of it.
        said: The verdict.
        problems: What else is wrong, in the order in which it was found. No expectation covers
            it: it turns a pass, a known failure and an unexpected pass into something else, and
            nothing into a pass.

    Returns:
        The outcome, and why; "" for a pass.
    """
    outcome = OUTCOMES[compare(wanted, said)]
    if outcome not in _PROVEN:
        return outcome, said.reason
    for kind, instead in _INSTEAD.items():
        if found := [problem for problem in problems if problem.kind is kind]:
            return instead, found[0].reason
    return outcome, "" if outcome is Outcome.PASSED else said.reason


def compare(  # noqa: PLR0911 - one for each expectation
    wanted: ExpectationRecord, said: VerdictRecord
) -> Match:
    """Compare a verdict with an expectation; one that is Unproven is never what was expected."""
    if said.kind == "Unproven":
        return Match.CANNOT_TELL
    survived = _survived(wanted.scope, said)
    match wanted.kind:
        case "survives":
            return Match.AS_EXPECTED if survived else Match.OTHERWISE
        case "dies":
            return Match.AS_EXPECTED if _died(wanted, said) else Match.OTHERWISE
        case "parks":
            return Match.AS_EXPECTED if said.kind == "Parked" else Match.OTHERWISE
        case "xfail":
            if survived:
                return Match.UNEXPECTED_PASS
            return Match.KNOWN_FAILURE if _lost_as_named(wanted, said) else Match.OTHERWISE
        case "unavailable":
            return Match.UNEXPECTED_PASS if said.kind == "Survived" else Match.OTHERWISE


def _survived(wanted: Scope, said: VerdictRecord) -> bool:
    """Whether it is the survival that was wanted; memory alone is never a guest that runs."""
    return said.kind == "Survived" and (said.scope is Scope.RUNNING or wanted is Scope.MEMORY)


def _died(wanted: ExpectationRecord, said: VerdictRecord) -> bool:
    """Whether it was lost; what was lost for too long and beats on is no control that died.

    Records of before this was noted do not say whether it beats on: they are believed.
    """
    lives = said.figures.get("beats_on") is True and said.figures.get("check") in _HARM
    return _lost_as_named(wanted, said) and not lives


def _lost_as_named(wanted: ExpectationRecord, said: VerdictRecord) -> bool:
    """Whether it was lost by a check that the expectation allows; any other is another finding.

    Records of before checks were noted are believed.
    """
    check = said.figures.get("check")
    named = set(wanted.by) or _USUAL[said.scope or Scope.RUNNING]
    return said.kind == "Lost" and (check is None or check in named)
