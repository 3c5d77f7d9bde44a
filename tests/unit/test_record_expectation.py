# SPDX-License-Identifier: Apache-2.0
"""What is as expected, what is the kernel's fault, and what nobody can tell."""

from __future__ import annotations

import pytest

from lab.config.model import Dies, Expectation, Scope, Survives, Unavailable, Xfail
from lab.record.expectation import Match, compare
from lab.verdict.verdict import Check, Figures, Lost, Parked, Survived, Unproven, Verdict
from lab.verdict.verdict import Scope as Judged

SURVIVED = Survived("it beat on", Check.ALL)
REMEMBERED = Survived("its memory is the same", Check.MEMORY, Judged.MEMORY)
LOST = Lost("it was silent", Check.SILENCE)
PARKED = Parked("the caretaker holds it", Check.PARKED)
ALIVE = Figures(beats_on=True)
UNPROVEN = Unproven("nobody witnessed the disruption", Check.DISRUPTION)

KNOWN = Xfail(reason="not yet", link="https://example.org/1")
MEMORY = Survives(scope=Scope.MEMORY)


@pytest.mark.parametrize(
    ("expectation", "verdict", "match"),
    [
        pytest.param(Survives(), SURVIVED, Match.AS_EXPECTED, id="survives"),
        pytest.param(Survives(), LOST, Match.OTHERWISE, id="survives-but-lost"),
        pytest.param(Survives(), PARKED, Match.OTHERWISE, id="survives-but-parked"),
        pytest.param(Survives(), REMEMBERED, Match.OTHERWISE, id="memory-is-not-a-running-guest"),
        pytest.param(MEMORY, REMEMBERED, Match.AS_EXPECTED, id="memory"),
        pytest.param(Dies(), LOST, Match.AS_EXPECTED, id="dies"),
        pytest.param(Dies(), SURVIVED, Match.OTHERWISE, id="a-control-that-survives"),
        pytest.param(Dies(), PARKED, Match.OTHERWISE, id="a-control-that-parks"),
        *(
            pytest.param(
                Dies(),
                Lost("it was harmed, and beat on", check, figures=ALIVE),
                Match.OTHERWISE,
                id=f"a-control-that-lives-on-after-{check}",
            )
            for check in (Check.SILENCE, Check.GUEST_SILENCE, Check.CLOCK, Check.FAULTS)
        ),
        pytest.param(
            Dies(),
            Lost("it was restarted", Check.RESTART, figures=ALIVE),
            Match.AS_EXPECTED,
            id="another-guest-beats-on",
        ),
        pytest.param(KNOWN, LOST, Match.KNOWN_FAILURE, id="xfail"),
        pytest.param(KNOWN, SURVIVED, Match.UNEXPECTED_PASS, id="xfail-is-strict"),
        pytest.param(Unavailable(reason="no"), SURVIVED, Match.UNEXPECTED_PASS, id="available"),
        *(
            pytest.param(e, UNPROVEN, Match.CANNOT_TELL, id=f"unproven-is-never-{type(e).__name__}")
            for e in (Survives(), Dies(), KNOWN, Unavailable(reason="no"), MEMORY)
        ),
    ],
)
def test_compares_a_verdict_with_what_was_expected(
    expectation: Expectation, verdict: Verdict, match: Match
) -> None:
    assert compare(expectation, verdict) is match
