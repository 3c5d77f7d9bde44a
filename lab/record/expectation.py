# SPDX-License-Identifier: Apache-2.0
"""What was expected against what was judged; pure."""

from __future__ import annotations

from enum import StrEnum

from lab.config.model import Dies, Expectation, Parks, Survives, Unavailable, Xfail
from lab.verdict.verdict import Check, Lost, Parked, Scope, Survived, Unproven, Verdict, satisfies


class Match(StrEnum):
    """How a verdict stands to an expectation."""

    AS_EXPECTED = "as expected"
    OTHERWISE = "otherwise"  # the kernel, VMM or guest under test is to blame
    CANNOT_TELL = "cannot tell"  # the lab, or a missing witness
    KNOWN_FAILURE = "known failure"
    UNEXPECTED_PASS = "unexpected pass"  # noqa: S105


# Harm that the same guest may outlive; after any other loss, what beats is another guest.
_HARM = frozenset({Check.SILENCE, Check.GUEST_SILENCE, Check.CLOCK, Check.FAULTS})


def compare(expectation: Expectation, verdict: Verdict) -> Match:
    """Compare; a verdict that is Unproven is never what was expected."""
    if isinstance(verdict, Unproven):
        return Match.CANNOT_TELL
    wanted = Scope(expectation.scope.value)
    match expectation:
        case Survives():
            return Match.AS_EXPECTED if satisfies(wanted, verdict) else Match.OTHERWISE
        case Dies():
            return Match.AS_EXPECTED if _died(verdict) else Match.OTHERWISE
        case Parks():
            return Match.AS_EXPECTED if isinstance(verdict, Parked) else Match.OTHERWISE
        case Xfail():
            return Match.UNEXPECTED_PASS if satisfies(wanted, verdict) else Match.KNOWN_FAILURE
        case Unavailable():
            return Match.UNEXPECTED_PASS if isinstance(verdict, Survived) else Match.OTHERWISE


def _died(verdict: Verdict) -> bool:
    """A guest that was lost for too long, and beats on in the end, is no control that died."""
    lives = verdict.figures.beats_on and verdict.check in _HARM
    return isinstance(verdict, Lost) and not lives
