# SPDX-License-Identifier: Apache-2.0
"""The beats of a trail are linked, and no stamp, number or link of them changes unseen."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lab.observe.relink import unlinked
from lab.observe.trail import Trail
from lab.testing.simulated_guest import KEY, Rehearsal


def seen(r: Rehearsal, vcpu: int = 0) -> Trail:
    return r.eye.found().trails[vcpu]


def restarted(r: Rehearsal) -> None:
    r.guest.restart(bytes(16))


def rewound(r: Rehearsal) -> None:
    old = r.guest.snapshot()
    r.watch(1)
    r.guest.rewind(old)


def overrun(r: Rehearsal) -> None:
    r.guest.advance(4)


def broken(r: Rehearsal) -> None:
    r.guest.break_chain(0)


@pytest.mark.parametrize("wrong", [None, restarted, rewound, overrun, broken])
def test_whatever_an_eye_saw_is_linked(wrong: Callable[[Rehearsal], None] | None) -> None:
    r = Rehearsal(2)
    if wrong:
        wrong(r)
    r.watch(2)
    assert [unlinked(seen(r, n), KEY) for n in (0, 1)] == [None, None]
    assert len(seen(r).links) == len(seen(r).seq)


def test_an_eye_that_was_opened_late_begins_with_what_it_read() -> None:
    r = Rehearsal()
    r.guest.advance(9)
    r.start()
    assert unlinked(seen(r), KEY) is None
    assert seen(r).seq[0] > 1


def a_stamp(trail: Trail) -> None:
    trail.stamps[trail.start[7] + 1] += 1


def a_number(trail: Trail) -> None:
    trail.seq[7] += 1


def a_link(trail: Trail) -> None:
    trail.links[7] ^= 1


def a_boot(trail: Trail) -> None:
    trail.boot_id = bytes(16)


@pytest.mark.parametrize(
    ("change", "batch"), [(a_stamp, 7), (a_number, 7), (a_link, 7), (a_boot, 0)]
)
def test_a_change_is_told_with_its_beat(change: Callable[[Trail], None], batch: int) -> None:
    r = Rehearsal()
    trail = seen(r)
    change(trail)
    end = trail.seq[batch] + trail.start[batch + 1] - trail.start[batch] - 1
    assert unlinked(trail, KEY) == end


def test_another_key_links_nothing() -> None:
    assert unlinked(seen(Rehearsal()), bytes(16)) is not None
