# SPDX-License-Identifier: Apache-2.0
"""Random stories, seeded: whatever is done to a guest or to the eye, nothing wrong survives."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from lab.observe.beacon import PAGE
from lab.observe.eye import Eye
from lab.observe.identity import Undisturbed
from lab.testing.simulated_guest import BOOT, CANARY, KEY, Rehearsal
from lab.verdict.judge import judge
from lab.verdict.verdict import Lost, Survived

Deed = Callable[[Rehearsal, random.Random], None]


def freeze(r: Rehearsal, dice: random.Random) -> None:
    r.guest.freeze(dice.randrange(len(r.guest.vcpus)))
    r.watch(dice.uniform(5.2, 7))
    r.guest.thaw()


def die(r: Rehearsal, dice: random.Random) -> None:
    n = dice.randrange(len(r.guest.vcpus))
    if dice.random() < 0.5:
        r.guest.freeze(n)
    else:
        r.guest.tear(n)
    r.watch(dice.uniform(1.1, 7))


def rewind(r: Rehearsal, dice: random.Random) -> None:
    old = r.guest.snapshot()
    r.watch(dice.uniform(0.05, 1))
    r.guest.advance(dice.uniform(0, 1))
    r.guest.rewind(old)
    r.guest.advance(dice.uniform(0.001, 1.9))


def restart(r: Rehearsal, dice: random.Random) -> None:
    r.guest.restart(dice.randbytes(16))
    r.guest.advance(dice.uniform(0, 10))


def break_chain(r: Rehearsal, dice: random.Random) -> None:
    r.guest.break_chain(dice.randrange(len(r.guest.vcpus)))


def change_canary(r: Rehearsal, dice: random.Random) -> None:
    r.guest.change_canary(dice.randrange(len(r.guest.vcpus)))


def scribble(r: Rehearsal, dice: random.Random) -> None:
    """Damage a dead guest's page; no damage makes it alive."""
    n = dice.randrange(len(r.guest.vcpus))
    r.guest.freeze(n)
    page = r.guest.memory[r.guest.pages[n]]
    for _ in range(120):
        for _ in range(dice.randrange(4)):
            page[dice.randrange(PAGE)] ^= 1 << dice.randrange(8)
        r.watch(0.05)


def forge(r: Rehearsal, dice: random.Random) -> None:
    """Write beats onto a dead guest's page, with all but its key."""
    r.guest.freeze()
    key = dice.randbytes(16)
    for _ in range(120):
        r.guest.beat(0, r.guest.guest_ns)
        r.guest.publish(0, key=key)
        r.watch(0.05)


def replay(r: Rehearsal, dice: random.Random) -> None:
    """Show pages of the past again and again, in place of those of a dead guest."""
    past = []
    for _ in range(20):
        r.watch(0.1)
        past.append(bytes(r.guest.memory[r.guest.pages[0]]))
    r.guest.freeze()
    for _ in range(120):
        r.guest.memory[r.guest.pages[0]][:] = dice.choice(past)
        r.watch(0.05)


def set_clock_back(r: Rehearsal, dice: random.Random) -> None:
    back = dice.randrange(100_000_000, 3_000_000_000)
    r.guest.guest_ns -= back
    for vcpu in r.guest.vcpus:
        vcpu.due_ns -= back


def count_a_fault(r: Rehearsal, dice: random.Random) -> None:
    vcpu = dice.choice(r.guest.vcpus)
    vcpu.page = replace(vcpu.page, faults=vcpu.page.faults + dice.randrange(1, 9))


WRONG: Mapping[str, Deed] = {
    deed.__name__: deed
    for deed in (
        freeze,
        die,
        rewind,
        restart,
        break_chain,
        change_canary,
        scribble,
        forge,
        replay,
        set_clock_back,
        count_a_fault,
    )
}


def ends_dead(deed: Deed) -> bool:
    return deed in {die, scribble, forge, replay}


class TornRead:
    """Reads as an unlucky eye does: torn between two moments, short, or not at all."""

    def __init__(self, rehearsal: Rehearsal, dice: random.Random, share: float) -> None:
        self._guest, self._dice, self._share = rehearsal.guest, dice, share

    def __call__(self, phys: int, size: int) -> bytes:
        """Read, with some luck."""
        before = self._guest.read(phys, size)
        if self._dice.random() > self._share:
            return before
        after = self._guest.read(phys, size)
        cut = self._dice.randrange(size)
        match self._dice.randrange(4):
            case 0:
                return before[:cut] + after[cut:]
            case 1:
                return after[:cut] + before[cut:]
            case 2:
                return before[:cut]
            case _:
                raise OSError("not now")


def unlucky(dice: random.Random, share: float) -> Rehearsal:
    r = Rehearsal(dice.choice([1, 2]), baseline_s=2.0)
    guest, baseline = r.guest, r.baseline
    read = TornRead(r, dice, share)
    r.eye = Eye(read, guest.pages, KEY, CANARY, boot_id=BOOT, clock=guest.clock)
    r.watch(0.2)
    r.baseline = replace(baseline, began=guest.now, ended=guest.now + 2)
    r.watch(2.1)
    return r


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("deed", WRONG)
def test_nothing_wrong_survives(deed: str, seed: int) -> None:
    dice = random.Random(f"{deed} {seed}")  # noqa: S311 - not a secret
    r = unlucky(dice, share=dice.choice([0.0, 0.1, 0.4]))
    struck = r.now()
    r.watch(dice.uniform(0, 2))
    WRONG[deed](r, dice)
    if not ends_dead(WRONG[deed]):
        r.watch(8)
    r.watch(max(0.0, struck.done + 6.5 - r.guest.now))
    for disruption in (struck, Undisturbed()):
        found = judge(r.evidence(disruption))
        assert not isinstance(found, Survived), found.reason


@pytest.mark.parametrize("seed", range(12))
def test_an_unlucky_eye_does_not_lose_a_guest_that_lives(seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - not a secret
    r = unlucky(dice, share=dice.choice([0.0, 0.1, 0.4]))
    struck = r.now()
    r.watch(8)
    found = judge(r.evidence(struck))
    assert isinstance(found, Survived), found.reason


@pytest.mark.parametrize("seed", range(6))
def test_guest_dying_in_sight_is_lost_despite_torn_reads(seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - not a secret
    r = unlucky(dice, share=0.3)
    struck = r.now()
    r.guest.freeze()
    r.watch(8)
    found = judge(r.evidence(struck))
    assert isinstance(found, Lost), found.reason
