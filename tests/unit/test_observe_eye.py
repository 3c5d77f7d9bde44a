# SPDX-License-Identifier: Apache-2.0
"""The eye in real time on a guest of bytes, and the search for a page that went away."""

from __future__ import annotations

import pytest

from lab.deadline import Deadline, pause, until
from lab.errors import DeadlineError, InfraError, UnreachableError
from lab.observe.beacon import PAGE
from lab.observe.eye import Eye, spans
from lab.observe.scan import scan
from lab.observe.search import sighted
from lab.observe.trail import Kind
from lab.testing.simulated_guest import CANARY, KEY, FakeGuest
from tests.support.simulated_cell import LiveGuest


def eye_on(guest: FakeGuest) -> Eye:
    return Eye(guest.read, guest.pages, KEY, CANARY, 0.01)


def test_pages_that_lie_together_are_read_together() -> None:
    pages = {0: 0x5000, 1: 0x4000, 2: 0x90000, 3: 0x13000}
    assert spans(pages) == [
        (0x4000, 0x10000, {1: 0, 0: 0x1000, 3: 0xF000}),
        (0x90000, PAGE, {2: 0}),
    ]


def test_an_eye_sees_all_vcpus_beat_and_knows_how_good_it_was() -> None:
    with eye_on(LiveGuest(4)) as eye:
        eye.beating(Deadline.after(5))
        at = eye.mark("baseline")
        until("beats", lambda: _least(eye) > 40 or None, Deadline.after(20))
        pause(0.5)
    found = eye.found()
    assert len(found.trails) == 4
    assert not any(t.anomalies for t in found.trails.values())
    assert [(m.label, m.at) for m in found.marks] == [("baseline", at)]
    assert 20 < found.sight.per_second < 101
    assert found.sight.longest_s < 0.5
    assert 0 < found.sight.cost_s < 0.05
    assert found.sight.errors == 0


def _least(eye: Eye) -> int:
    return min(len(trail.stamps) for trail in eye.found().trails.values())


def test_a_wait_for_looks_waits_for_new_ones() -> None:
    eye = eye_on(LiveGuest())
    for _ in range(5):
        eye.look()
    with pytest.raises(DeadlineError, match="the eye to look"):
        eye.looked(1, Deadline.after(0.1))
    with eye:
        eye.looked(3, Deadline.after(5))
    assert eye.found().sight.looks >= 8


def test_what_was_found_does_not_change_when_the_eye_looks_on() -> None:
    with eye_on(LiveGuest()) as eye:
        eye.beating(Deadline.after(5))
        before = eye.found()
        beats = len(before.trails[0].stamps)
        pause(0.2)
        assert len(before.trails[0].stamps) == beats
        assert len(eye.found().trails[0].stamps) > beats


def test_a_guest_that_does_not_beat_is_named() -> None:
    guest = LiveGuest(2)
    guest.freeze(1)
    with eye_on(guest) as eye, pytest.raises(DeadlineError, match="beats of vCPU 1"):
        eye.beating(Deadline.after(0.5))


@pytest.mark.parametrize("error", [OSError("gone"), UnreachableError("gone")])
def test_an_eye_outlives_reads_that_fail(error: Exception) -> None:
    guest, failing = LiveGuest(), [False]

    def read(phys: int, size: int) -> bytes:
        if failing[0]:
            raise error
        return guest.read(phys, size)

    with Eye(read, guest.pages, KEY, CANARY, 0.01) as eye:
        eye.beating(Deadline.after(5))
        failing[0] = True
        until("an error", lambda: eye.found().sight.errors or None, Deadline.after(5))
        failing[0] = False
        beats = len(eye.found().trails[0].by)
        until("sight", lambda: len(eye.found().trails[0].by) > beats + 1 or None, Deadline.after(5))
    found = eye.found()
    assert found.sight.last_error == "gone"
    (blind,) = found.trails[0].blinds
    assert (blind.reason, blind.ended is not None) == ("reading failed: gone", True)


def test_a_fault_of_our_own_is_not_taken_for_blindness() -> None:
    eye = Eye(lambda phys, size: bytes(size // (phys * 0)), {0: 0}, KEY, CANARY, 0.01)
    eye.start()
    eye.stop()
    with pytest.raises(InfraError, match="the eye failed: ZeroDivisionError"):
        eye.found()
    with pytest.raises(InfraError, match="the eye failed"):
        eye.beating(Deadline.after(1))


def test_an_eye_is_started_once() -> None:
    with eye_on(LiveGuest()) as eye, pytest.raises(InfraError, match="started before"):
        eye.start()


def test_pages_of_other_vcpus_are_refused() -> None:
    eye = eye_on(FakeGuest(2))
    with pytest.raises(InfraError, match=r"watches vCPUs \[0, 1\], and pages came for \[0\]"):
        eye.relocate({0: 0x1000})


def test_moving_to_where_a_page_is_already_is_no_move() -> None:
    guest = FakeGuest(2)
    eye = eye_on(guest)
    eye.relocate({**guest.pages, 1: 0x70_0000})
    trails = eye.found().trails
    assert [len(t.moves) for t in trails.values()] == [0, 1]


def test_a_torn_page_is_read_again_within_the_same_look() -> None:
    guest = FakeGuest()
    guest.advance(0.1)
    pages = [bytes(guest.memory[guest.pages[0]])]
    guest.tear(0)
    torn = bytes(guest.memory[guest.pages[0]])
    guest.publish(0)
    pages += [torn, bytes(guest.memory[guest.pages[0]])]
    eye = Eye(lambda _phys, _size: pages.pop(0), guest.pages, KEY, CANARY)
    eye.look()
    eye.look()
    found = eye.found()
    assert (found.sight.looks, found.sight.again, pages) == (2, 1, [])
    assert len(found.trails[0].clear_ended) == 2


def test_short_reads_are_blindness() -> None:
    eye = Eye(lambda _phys, size: bytes(size // 2), {0: 0}, KEY, CANARY)
    eye.look()
    assert "2048 bytes came" in eye.found().trails[0].blinds[0].reason


def test_moved_page_is_found_among_holes_and_stale_copies() -> None:
    guest = FakeGuest(2)
    guest.advance(0.2)
    stale = {n: bytes(guest.memory[phys]) for n, phys in guest.pages.items()}
    guest.advance(0.5)
    guest.move(0, 0x30_0000)
    guest.memory[0x28_0000] = bytearray(stale[0])
    guest.memory[0x2A_0000] = bytearray(stale[1][:0x10] + bytes(16) + stale[1][0x20:])

    def read(phys: int, size: int) -> bytes:
        if phys < 0x8_0000:
            raise OSError("a hole")
        return guest.read(phys, size)

    found = scan(read, 0x40_0000, CANARY, chunk=0x1_0000)
    assert set(found) == {0x10_0000, 0x10_1000, 0x28_0000, 0x30_0000}
    live = [s.phys for s in sighted(read, found, KEY, lambda: guest.advance(0.5)) if s.beats]
    assert sorted(live) == [0x10_1000, 0x30_0000]


def test_eye_following_a_moved_page_sees_an_unbroken_chain() -> None:
    guest = LiveGuest()
    with eye_on(guest) as eye:
        eye.beating(Deadline.after(5))
        with guest.lock:
            guest.move(0, 0x50_0000)
        assert 0x50_0000 in scan(guest.read, 0x60_0000, CANARY, chunk=0x1_0000)
        eye.relocate({0: 0x50_0000})
        pause(0.2)
    (trail,) = eye.found().trails.values()
    assert [a for a in trail.anomalies if a.kind is not Kind.OVERRUN] == []
    assert trail.by[-1] > trail.moves[0]
