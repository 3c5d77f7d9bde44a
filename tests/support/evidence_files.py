# SPDX-License-Identifier: Apache-2.0
"""Evidence of simulated guests, written to its file and read back."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from lab.config.enums import DisruptionKind
from lab.observe.eye import Mark, Sight
from lab.observe.identity import DidNot, Happened, Undisturbed
from lab.observe.window import Window
from lab.testing.simulated_guest import KEY, Rehearsal
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
from lab.verdict.problem import Problem, ProblemKind
from lab.verdict.verdict import Scope
from lab.verify.case import Case
from lab.verify.evidence_file import load, save

SIGHT = Sight(540, 49.3, 0.005, 0.041, 3, 1, "a peek failed")


def case_of(evidence: Evidence, **changes: Any) -> Case:
    """Return a case that rests on `evidence`."""
    usual: dict[str, Any] = {
        "cell": "x86_64-tcg-stock-linux-qemu-vmm_kill",
        "disruption": DisruptionKind.VMM_KILL,
        "key": KEY,
        "evidence": evidence,
        "done": {"pid": 412},
        "facts": {"mode": "native", "search_s": 0.25, "live_copies": 1},
        "sight": SIGHT,
        "marks": (Mark("baseline", 1000.5),),
    }
    return Case(**usual | changes)


def through_a_file(evidence: Evidence, folder: Path) -> Evidence:
    """Write evidence to a file, and return what is read from it."""
    path = folder / "through-a-file.json.gz"
    save(path, case_of(evidence))
    return load(path).evidence


def public(value: object) -> dict[str, Any]:
    """Return the public attributes of an object, those of its trails included."""
    return {name: each for name, each in vars(value).items() if not name.startswith("_")}


@cache
def any_case(seed: int) -> Case:
    """Return a case of a guest to which anything may have been done, in any order."""
    chance = Random(seed)  # noqa: S311 - no secret
    r = Rehearsal(chance.randint(1, 2), baseline_s=1.5, period_ns=chance.choice([4, 10]) * 1000_000)
    old, struck = r.guest.snapshot(), None
    deeds: list[Callable[[], object]] = [
        r.guest.freeze, r.guest.thaw, lambda: r.guest.rewind(old), lambda: r.guest.break_chain(0),
        lambda: r.guest.restart(chance.randbytes(16)), lambda: r.guest.change_canary(0),
        lambda: r.guest.tear(0), lambda: r.guest.move(0, 0x80_0000), lambda: r.guest.wipe(0),
        lambda: r.guest.advance(3), lambda: setattr(r.guest, "readable", not r.guest.readable),
        lambda: r.eye.relocate(r.guest.pages), lambda: setattr(r.guest, "clock_rate", 0.5),
    ]  # fmt: skip
    for _ in range(chance.randint(0, 4)):
        if struck is None and chance.random() < 0.7:
            struck = r.now()
        chance.choice(deeds)()
        r.watch(chance.uniform(0.2, 1.5))
    r.watch(chance.choice([0.5, 5.0]))
    return case_of(_any_evidence(chance, r, struck), **_any_rest(chance, r))


def _any_evidence(chance: Random, r: Rehearsal, struck: Happened | None) -> Evidence:
    def perhaps(value: Any, otherwise: Any = None) -> Any:
        return value if chance.random() < 0.3 else otherwise

    def window() -> Window:
        return Window(*sorted(chance.uniform(r.baseline.began, r.guest.now) for _ in "ab"))

    seen = r.evidence(struck or perhaps(DidNot("no")) or perhaps(None, Undisturbed()))
    digests = {"before": "aa", "after": perhaps("bb", "aa")}
    stop = Stop(*(window().began, r.guest.now), "moved", chance.choice(list(GuestClock)))
    limits = Limits(patience=chance.choice([1.0, 3.0, float("nan"), float("inf")]))
    changes = {
        "limits": perhaps(limits, Limits(patience=3.0)),
        "outside_eye": not perhaps(True, otherwise=False),
        "scope": perhaps(Scope.MEMORY, Scope.RUNNING),
        "memory": perhaps(MemoryWitness(**digests, before_at=1003.0, after_at=r.guest.now)),
        "parked": perhaps(ParkedClaim("vCPU 0")),
        "voids": perhaps((window(), window()), ()),
        "host_death": perhaps(HostDeath(window().ended, "it was reset")),
        "nowhere": perhaps(True, otherwise=False),
        "stops": perhaps((stop,), ()),
        "search": perhaps(seen.search),
        "tallies": perhaps((Tally("kexecs", 2, 1),), ()),
        "handed": perhaps(window().ended),
    }
    return Evidence(**{**{f: getattr(seen, f) for f in seen.__slots__}, **changes})


def _any_rest(chance: Random, r: Rehearsal) -> dict[str, Any]:
    rest: dict[str, Any] = {}
    if chance.random() < 0.4:
        rest |= {"resumed": Window(r.guest.now - 2, r.guest.now), "why": "it was parked"}
    if chance.random() < 0.4:
        done = {"stop_inner_ms": chance.uniform(0, 300), "stop_outer_ms": 300.5}
        rest |= {"disruption": DisruptionKind.VCPU_STOP, "done": done}
    if chance.random() < 0.4:
        kind = chance.choice(list(ProblemKind))
        rest["problems"] = (Problem(kind, "the kernel of a complained: Oops"),)
    return rest
