# SPDX-License-Identifier: Apache-2.0
"""Random runs of simulated guests, from their first beat to what is said of them in the end.

A mutant that is listed as one of no effect must say the same of each of them, word for word.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from lab.observe.beacon import PAGE
from lab.observe.identity import DidNot, Happened, Undisturbed
from lab.observe.window import Window
from lab.record.doubt import doubt
from lab.record.expectation import compare, decide
from lab.record.model import ExpectationRecord, Outcome, VerdictRecord
from lab.testing.simulated_guest import BOOT, Rehearsal
from lab.verdict.evidence import (
    Evidence,
    GuestClock,
    HostDeath,
    Limits,
    MemoryWitness,
    ParkedClaim,
    Stop,
    Tally,
)
from lab.verdict.judge import judge, judge_through
from lab.verdict.problem import Problem, ProblemKind
from lab.verdict.verdict import Check, Scope, Verdict
from tests.support.records import cell

_ELSEWHERE = 0x80_0000
_KINDS = ("survives", "dies", "parks", "xfail", "unavailable")


def evidence(seed: int) -> Evidence:
    """Return what was seen and said of a guest to which things happened at random."""
    rng = random.Random(seed)  # noqa: S311 - a seed has to make the same run each time
    run = Rehearsal(
        rng.choice((1, 1, 2)), baseline_s=1.0, step_s=0.125, period_ns=rng.choice((1, 2)) << 26
    )
    began = run.guest.now
    deeds = rng.randrange(4)
    strike = rng.choice((0, 0, rng.randint(0, deeds)))
    struck = run.now("kexec")
    for n in range(deeds):
        if n == strike:
            struck = run.now("kexec")
        rng.choice(_DEEDS)(run, rng)
        run.watch(rng.choice((0.1, 0.5, 1.0)))
    if rng.random() < 0.9:
        run.watch(rng.choice((1.2, 2.0, 3.0)))
    found = run.evidence(struck, searched=rng.random() < 0.8)
    return _as_told(found, rng, began)


def said(found: Evidence, seed: int) -> str:
    """Return all that is said of evidence: verdicts, figures, the trail, outcomes."""
    rng = random.Random(seed)  # noqa: S311
    began = rng.uniform(found.baseline.began, found.end)
    through = judge_through(
        replace(found, end=began), rng.choice((None, Window(began, found.end))), "it stood"
    )
    verdict = judge(found)
    trails = [
        (t.anomalies, t.blinds, t.owns, t.moves, list(t.stamps)) for t in found.trails.values()
    ]
    return repr((verdict, through, _outcomes(verdict, rng), trails))


def _outcomes(verdict: Verdict, rng: random.Random) -> object:
    figures = {"check": verdict.check, "beats_on": rng.choice((True, False))}
    record = VerdictRecord.model_validate(
        {
            "kind": type(verdict).__name__, "scope": rng.choice((verdict.scope, None)),
            "reason": verdict.reason, "figures": {} if rng.random() < 0.1 else figures,
        }
    )  # fmt: skip
    by = rng.sample(list(Check), rng.choice((0, 0, 3)))
    wanted = ExpectationRecord.model_validate(
        {"kind": rng.choice(_KINDS), "scope": rng.choice(list(Scope)), "by": tuple(by)}
    )
    problems = [Problem(rng.choice(list(ProblemKind)), "odd") for _ in range(rng.randrange(3))]
    stored = cell(expectation=wanted, verdict=record, outcome=rng.choice(list(Outcome)))
    return compare(wanted, record), decide(wanted, record, problems), doubt(stored)


def _as_told(found: Evidence, rng: random.Random, began: float) -> Evidence:
    """Add what the lab and the host say of it: each with its own odds."""

    def stretch() -> Window:
        first = rng.uniform(began, found.end)
        return Window(first, rng.uniform(first, found.end))

    def stop() -> Stop:
        one = stretch()
        return Stop(one.began, one.ended, "moved", rng.choice(list(GuestClock)))

    def digests() -> MemoryWitness:
        after = rng.choice(("a", "a", "b", ""))
        at = stretch().began
        return MemoryWitness(before="a", before_at=at, after=after, after_at=found.end)

    limits = Limits(patience=rng.choice((0.5, 0.75, 1.0)), closing=0.5, live=0.5)
    narrow = replace(limits, rewind=0.3, clock_step=0.05, beat_rate=0.5)
    told: dict[str, tuple[float, Callable[[], object]]] = {
        "limits": (1.0, lambda: rng.choice((limits, limits, narrow))),
        "disruption": (0.2, lambda: rng.choice((None, DidNot("no"), Undisturbed(), late()))),
        "voids": (0.2, lambda: (stretch(), stretch())),
        "parked": (0.2, lambda: ParkedClaim("halted")),
        "stops": (0.2, lambda: (stop(),)),
        "memory": (0.2, digests),
        "scope": (0.2, lambda: Scope.MEMORY),
        "host_death": (0.1, lambda: HostDeath(stretch().began, "it crashed")),
        "nowhere": (0.1, lambda: True),
        "outside_eye": (0.05, lambda: False),
        "tallies": (0.1, lambda: (Tally("kexecs", 1, rng.choice((1, 2))),)),
        "handed": (0.1, lambda: stretch().began),
        "expected_vcpus": (0.05, lambda: rng.choice((0, 3))),
    }

    def late() -> Happened:
        return Happened("kexec", *sorted((stretch().began, found.end - 1)))

    more = {name: make() for name, (share, make) in told.items() if rng.random() < share}
    return replace(found, **more)  # type: ignore[arg-type]


def _page(run: Rehearsal, rng: random.Random) -> int:
    return rng.choice([vcpu.phys for vcpu in run.guest.vcpus])


def _freeze(run: Rehearsal, rng: random.Random) -> None:
    run.guest.freeze(*rng.choice(((), (0,))))


def _step(run: Rehearsal, rng: random.Random) -> None:
    run.guest.guest_ns += rng.choice((-1, 1)) * rng.choice((10**7, 4 * 10**8, 3 * 10**9))


def _rewind(run: Rehearsal, rng: random.Random) -> None:
    before = run.guest.snapshot()
    run.watch(rng.choice((0.1, 0.6)))
    run.guest.rewind(before)


def _move(run: Rehearsal, rng: random.Random) -> None:
    run.guest.move(0, _ELSEWHERE + PAGE * rng.randrange(2))
    if rng.random() < 0.5:
        run.eye.relocate(run.guest.pages)


def _fault(run: Rehearsal, rng: random.Random) -> None:
    vcpu = run.guest.vcpus[rng.randrange(len(run.guest.vcpus))]
    vcpu.page = replace(vcpu.page, faults=vcpu.page.faults + 1, max_gap_ns=rng.choice((0, 10**9)))


def _unseen(run: Rehearsal, rng: random.Random) -> None:
    run.guest.advance(rng.choice((0.3, 1.5, 30.0)))


def _copied(run: Rehearsal, rng: random.Random) -> None:
    if rng.random() < 0.5:
        run.guest.copies[0] = _ELSEWHERE + 4 * PAGE
    run.guest.memory[_ELSEWHERE + 4 * PAGE] = bytearray(run.guest.memory[_page(run, rng)])


def _sight(run: Rehearsal, rng: random.Random) -> None:
    run.guest.readable = not run.guest.readable


def _clock(run: Rehearsal, rng: random.Random) -> None:
    run.guest.clock_rate = rng.choice((1.0, 0.01, 0.98, 1.1, 2.0))


_DEEDS: tuple[Callable[[Rehearsal, random.Random], None], ...] = (
    _freeze,
    lambda run, rng: run.guest.thaw(),
    _step,
    _rewind,
    lambda run, rng: run.guest.restart(rng.choice((bytes(16), BOOT))),
    lambda run, rng: run.guest.break_chain(0),
    lambda run, rng: run.guest.change_canary(0),
    lambda run, rng: run.guest.tear(0),
    lambda run, rng: run.guest.wipe(0),
    _move,
    _fault,
    _unseen,
    _copied,
    _sight,
    _clock,
)
