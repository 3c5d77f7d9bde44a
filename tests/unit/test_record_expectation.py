# SPDX-License-Identifier: Apache-2.0
"""What is as expected, what is the kernel's fault, what nobody can tell: every combination."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest

from lab.config.enums import Loss, Scope
from lab.config.model import Dies, Expectation, Parks, Survives, Unavailable, Xfail
from lab.record.doubt import doubt
from lab.record.expectation import OUTCOMES, Match, compare, decide
from lab.record.model import ExpectationRecord, Outcome, VerdictRecord
from lab.record.plan import expected
from lab.verdict.problem import Problem, ProblemKind
from lab.verdict.verdict import Check
from tests.support.records import cell

SCOPES = (Scope.RUNNING, Scope.MEMORY)
USUAL = (Check.SILENCE, Check.NOWHERE)


def verdicts() -> Iterator[tuple[str, VerdictRecord]]:
    """Every verdict that can be told from another here, under a short name."""
    for kind, scope in product(("Survived", "Parked"), (*SCOPES, None)):
        yield (
            f"{kind} {scope}",
            VerdictRecord.model_validate({"kind": kind, "scope": scope, "reason": "so it was"}),
        )
    for check, beats_on in product(Check, (True, False, None)):
        figures: dict[str, object] = {"check": check.value}
        figures |= {} if beats_on is None else {"beats_on": beats_on}
        yield (
            f"Lost {check} {beats_on}",
            VerdictRecord.model_validate(
                {"kind": "Lost", "scope": "running", "reason": "gone", "figures": figures}
            ),
        )
    yield "Lost", VerdictRecord(kind="Lost", reason="it was lost, in a record of version 1")
    for scope in (*SCOPES, None):
        yield f"Unproven {scope}", VerdictRecord(kind="Unproven", reason="no", scope=scope)


VERDICTS = dict(verdicts())
LIVES_ON = {f"Lost {Check.SILENCE} True"}
KNOWN = {"reason": "not yet", "link": "https://example.org/1"}
RUNS, REMAINS = {"Survived running"}, {f"Survived {scope}" for scope in (*SCOPES, None)}
PARKED = {f"Parked {scope}" for scope in (*SCOPES, None)}
GONE = {f"Lost {check} {on}" for check in USUAL for on in (True, False, None)} | {"Lost"}
DEAD = GONE - LIVES_ON
UNPROVEN = {name for name in VERDICTS if name.startswith("Unproven")}
PROVEN = set(VERDICTS) - UNPROVEN
GOOD, BAD = Match.AS_EXPECTED, Match.OTHERWISE
XFAILED, XPASSED = Match.KNOWN_FAILURE, Match.UNEXPECTED_PASS


# The verdicts that give the first match; all others that are proven give the second.
@pytest.mark.parametrize(
    ("wanted", "fits", "match", "else_"),
    [
        (Survives(), RUNS, GOOD, BAD),
        (Survives(scope=Scope.MEMORY), REMAINS, GOOD, BAD),
        (Dies(), DEAD, GOOD, BAD),
        (Dies(scope=Scope.MEMORY), DEAD, GOOD, BAD),
        (Parks(), PARKED, GOOD, BAD),
        (Parks(scope=Scope.MEMORY), PARKED, GOOD, BAD),
        (Xfail.model_validate(KNOWN), RUNS, XPASSED, BAD),
        (Xfail.model_validate({**KNOWN, "scope": "memory"}), REMAINS, XPASSED, BAD),
        (Unavailable(reason="no"), REMAINS, XPASSED, BAD),
        (Unavailable(reason="no", scope=Scope.MEMORY), REMAINS, XPASSED, BAD),
    ],
    ids=lambda value: f"{type(value).__name__}-{value.scope}" if hasattr(value, "scope") else "",
)
def test_every_verdict_against_every_expectation(
    wanted: Expectation, fits: set[str], match: Match, else_: Match
) -> None:
    came = {name: compare(expected(wanted), said) for name, said in VERDICTS.items()}
    assert came == (
        dict.fromkeys(PROVEN, else_)
        | (dict.fromkeys(GONE, XFAILED) if isinstance(wanted, Xfail) else {})
        | dict.fromkeys(fits, match)
        | dict.fromkeys(UNPROVEN, Match.CANNOT_TELL)
    )


def test_record_is_believed_only_where_it_says_what_is_decided() -> None:
    """What a stored cell may claim is what a cell that ends now would be given."""
    judged = (Outcome.PASSED, Outcome.XFAILED, Outcome.XPASSED)
    kinds = ("survives", "dies", "parks", "xfail", "unavailable")
    for kind, scope, said, claimed in product(kinds, SCOPES, VERDICTS.values(), judged):
        wanted = ExpectationRecord.model_validate({"kind": kind, "scope": scope})
        stored = cell(expectation=wanted, verdict=said, outcome=claimed)
        believed = doubt(stored) == ""
        assert believed is (decide(wanted, said)[0] is claimed), (kind, scope, said, claimed)


@pytest.mark.parametrize("kind", ProblemKind)
@pytest.mark.parametrize("match", Match)
def test_problem_makes_no_pass_and_overturns_one(kind: ProblemKind, match: Match) -> None:
    by_match: dict[Match, tuple[Expectation, str]] = {
        Match.AS_EXPECTED: (Survives(), "Survived running"),
        Match.OTHERWISE: (Survives(), "Lost silence False"),
        Match.CANNOT_TELL: (Survives(), "Unproven running"),
        Match.KNOWN_FAILURE: (Xfail.model_validate(KNOWN), "Lost silence False"),
        Match.UNEXPECTED_PASS: (Xfail.model_validate(KNOWN), "Survived running"),
    }
    wanted, said = by_match[match]
    outcome, why = decide(expected(wanted), VERDICTS[said], [Problem(kind, "it leaked")])
    overturned = {ProblemKind.PRODUCT: Outcome.FAILED, ProblemKind.FIGURES: Outcome.ERROR}
    if match not in {Match.OTHERWISE, Match.CANNOT_TELL} and kind in overturned:
        assert (outcome, why) == (overturned[kind], "it leaked")
    else:
        assert outcome is OUTCOMES[match]
        assert why == ("" if match is Match.AS_EXPECTED else VERDICTS[said].reason)


def test_products_problem_counts_before_the_labs() -> None:
    problems = [Problem(ProblemKind.FIGURES, "off"), Problem(ProblemKind.PRODUCT, "it leaked")]
    wanted = expected(Survives())
    assert decide(wanted, VERDICTS["Survived running"], problems)[1] == "it leaked"


def lost(check: Check, scope: Scope = Scope.RUNNING, **figures: object) -> VerdictRecord:
    return VerdictRecord.model_validate(
        {"kind": "Lost", "scope": scope, "reason": "x", "figures": {"check": check, **figures}}
    )


@pytest.mark.parametrize("kind", ["dies", "xfail"])
@pytest.mark.parametrize(
    "check", [Check.RESTART, Check.REWIND, Check.CHAIN, Check.CANARY, Check.FAULTS, Check.MEMORY]
)
def test_a_loss_that_was_not_named_is_another_finding(kind: str, check: Check) -> None:
    wanted = ExpectationRecord.model_validate({"kind": kind})
    assert compare(wanted, lost(check)) is Match.OTHERWISE


def test_a_control_of_memory_is_lost_by_its_memory_only() -> None:
    wanted = ExpectationRecord(kind="dies", scope=Scope.MEMORY)
    assert compare(wanted, lost(Check.MEMORY, Scope.MEMORY)) is Match.AS_EXPECTED
    assert compare(wanted, lost(Check.RESTART, Scope.MEMORY)) is Match.OTHERWISE


def test_what_is_named_is_what_counts() -> None:
    dies = expected(Dies(by=(Loss.RESTART,)))
    assert compare(dies, lost(Check.RESTART)) is Match.AS_EXPECTED
    assert compare(dies, lost(Check.SILENCE)) is Match.OTHERWISE
    known = expected(Xfail.model_validate({**KNOWN, "by": ["restart"]}))
    assert compare(known, lost(Check.RESTART)) is Match.KNOWN_FAILURE
    assert compare(known, lost(Check.SILENCE)) is Match.OTHERWISE


@pytest.mark.parametrize("loss", Loss)
def test_each_check_that_can_be_named_is_one_of_the_judge(loss: Loss) -> None:
    wanted = ExpectationRecord(kind="dies", by=(loss.value,))
    check = Check(loss.value)
    assert compare(wanted, lost(check)) is Match.AS_EXPECTED
    harm = check in {Check.SILENCE, Check.GUEST_SILENCE, Check.FAULTS} or "clock" in check
    harm = harm or check in {Check.BEAT_RATE, Check.RAM}
    assert (compare(wanted, lost(check, beats_on=True)) is Match.AS_EXPECTED) is not harm
