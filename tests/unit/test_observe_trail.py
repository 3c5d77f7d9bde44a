# SPDX-License-Identifier: Apache-2.0
"""What a trail keeps of what it is shown, and what it takes for a race and what for a fact."""

from __future__ import annotations

import pytest

from lab.observe.beacon import READABLE, Foreign, Owner, Page, Torn, parse
from lab.observe.trail import Kind, Look, Trail
from lab.observe.window import Window
from lab.testing.simulated_guest import BOOT, CANARY, KEY, FakeGuest
from lab.verdict.silence import beats, drift, longest, longest_gap, silences

OTHER = bytes(16)


class Shown:
    """A guest, and a trail that is shown its page when the test says so."""

    def __init__(self, *, boot_id: bytes | None = BOOT) -> None:
        self.guest = FakeGuest()
        self.trail = Trail(0, KEY, CANARY, boot_id)

    def beat(self, count: int) -> None:
        """Let as much time pass as so many beats take."""
        self.guest.advance(count * 0.01)

    def page(self) -> bytes:
        """Return the page as it is now."""
        return bytes(self.guest.memory[self.guest.pages[0]])

    def show(self, page: bytes | None = None) -> bool:
        """Show the trail that page, or the guest's."""
        began = self.guest.now
        return self.trail.take(Look(began, began), parse(page or self.page(), KEY))

    @property
    def kinds(self) -> list[Kind]:
        """Return what the trail found wrong, in order."""
        return [anomaly.kind for anomaly in self.trail.anomalies]


def test_trail_keeps_each_beat_once_between_its_two_looks() -> None:
    s = Shown()
    for _ in range(3):
        s.beat(5)
        assert s.show()
        assert s.show()
    assert list(s.trail.seq) == [1, 6, 11]
    assert len(s.trail.stamps) == 15
    assert list(s.trail.after)[1:] == list(s.trail.by)[:-1]
    assert s.kinds == []


def test_an_eye_that_comes_late_begins_with_what_is_in_the_ring() -> None:
    s = Shown()
    s.beat(1000)
    assert s.show()
    assert s.trail.seq[0] == 1000 - READABLE + 2
    s.beat(READABLE)
    assert s.show()
    assert s.kinds == []


def test_a_full_ring_is_no_overrun_and_one_beat_more_is() -> None:
    s = Shown()
    s.beat(1)
    s.show()
    s.beat(READABLE)
    s.show()
    assert s.kinds == []
    s.beat(READABLE + 1)
    s.show()
    assert s.kinds == [Kind.OVERRUN]
    s.beat(3)
    s.show()
    assert s.kinds == [Kind.OVERRUN]


def test_torn_page_is_read_again_and_staying_torn_is_standstill() -> None:
    s = Shown()
    s.beat(5)
    s.show()
    s.guest.tear(0)
    assert not s.show()
    looks = len(s.trail.clear_ended)
    assert s.show()
    assert len(s.trail.clear_ended) == looks + 1
    assert len(s.trail.stamps) == 5


def test_a_page_torn_in_ever_other_ways_proves_nothing() -> None:
    s = Shown()
    s.beat(5)
    s.show()
    for n in range(20):
        assert not s.trail.take(
            Look(s.guest.now, s.guest.now), Torn(bytes([n] * 64), Owner(0, CANARY, BOOT))
        )
    assert len(s.trail.clear_ended) == 1


def test_ring_newer_than_header_is_harmless_with_new_beats() -> None:
    s = Shown()
    s.beat(10)
    s.show()
    s.beat(20)
    header = s.page()[:0x100]
    s.beat(30)
    newer = s.page()[0x100:]
    assert s.show(header + newer)
    assert s.show()
    assert s.kinds == []
    assert len(s.trail.stamps) == 60


def test_ring_newer_than_header_is_doubted_before_overrun() -> None:
    s = Shown()
    s.beat(10)
    s.show()
    s.beat(READABLE)
    header = s.page()[:0x100]
    s.beat(2)
    newer = s.page()[0x100:]
    assert not s.show(header + newer)
    assert s.kinds == []
    assert s.show()
    assert s.kinds == [Kind.OVERRUN]


def test_a_half_written_record_is_a_race_and_no_broken_chain() -> None:
    s = Shown()
    s.beat(10)
    s.show()
    s.beat(5)
    page = bytearray(s.page())
    page[0x100 + 12 * 20] ^= 1
    assert not s.show(bytes(page))
    assert s.show()
    assert s.kinds == []


def test_endless_doubts_are_a_broken_chain() -> None:
    s = Shown()
    s.beat(10)
    s.show()
    s.beat(20)
    for n in range(8):
        page = bytearray(s.page())
        page[0x100 + (12 + n) * 20] ^= 1
        assert s.show(bytes(page)) is (n == 7)
    assert s.kinds == [Kind.CHAIN]


def test_a_record_that_stays_wrong_is_a_broken_chain() -> None:
    s = Shown()
    s.beat(10)
    s.show()
    s.beat(5)
    page = bytearray(s.page())
    page[0x100 + 12 * 20] ^= 1
    assert [s.show(bytes(page)) for _ in range(3)] == [False, False, True]
    assert s.kinds == [Kind.CHAIN]
    assert "beat 13" in s.trail.anomalies[0].what


def test_a_header_that_differs_from_its_record_is_doubted() -> None:
    s = Shown()
    s.beat(10)
    s.show()
    s.beat(1)
    old_ring = bytes(s.guest.vcpus[0].ring)
    s.beat(1)
    page = s.page()[:0x100] + old_ring
    assert [s.show(page) for _ in range(3)] == [False, False, True]
    assert s.kinds == [Kind.CHAIN]


def test_the_boot_id_that_the_guest_printed_binds_the_first_look() -> None:
    s = Shown(boot_id=OTHER)
    s.beat(5)
    s.show()
    assert s.kinds == [Kind.RESTART]


def test_without_it_the_first_look_binds_the_next() -> None:
    s = Shown(boot_id=None)
    s.beat(5)
    s.show()
    s.guest.restart(OTHER)
    s.beat(500)
    s.show()
    assert s.kinds == [Kind.RESTART]


def test_a_beat_that_comes_twice_and_not_the_same_is_a_rewind() -> None:
    s = Shown()
    s.beat(5)
    old = s.guest.snapshot()
    s.beat(5)
    s.show()
    s.guest.rewind(old)
    s.guest.advance(0.055)
    s.show()
    assert s.kinds == [Kind.REWIND]
    assert "came twice" in s.trail.anomalies[0].what


def test_a_page_without_beats_after_beats_is_a_rewind() -> None:
    s = Shown()
    new = s.guest.snapshot()
    s.beat(5)
    s.show()
    s.guest.rewind(new)
    s.show()
    assert s.kinds == [Kind.REWIND]
    s.beat(5)
    s.show()
    assert s.kinds == [Kind.REWIND]


def test_blindness_has_a_beginning_an_end_and_its_first_reason() -> None:
    s = Shown()
    s.beat(5)
    s.show()
    s.trail.take(Look(s.guest.now, s.guest.now), Foreign("first"))
    s.trail.take(Look(s.guest.now, s.guest.now), Foreign("second"))
    s.beat(5)
    s.show()
    (blind,) = s.trail.blinds
    assert (blind.reason, blind.ended) == ("first", s.guest.now)


def test_stale_copy_after_a_move_is_no_rewind_until_it_beats() -> None:
    s = Shown()
    s.beat(5)
    old = s.guest.snapshot()
    stale = s.page()
    s.beat(5)
    s.show()
    s.trail.move(s.guest.now)
    for _ in range(5):
        assert s.show(stale)
    assert s.kinds == []
    s.guest.rewind(old)
    s.beat(2)
    s.show()
    assert s.kinds == [Kind.REWIND]


def test_silences_are_bounded_by_looks_and_reach_to_the_very_end() -> None:
    s = Shown()
    s.beat(2)
    s.show()
    t0 = s.guest.now
    s.guest.freeze()
    s.guest.advance(1)
    s.show()
    s.guest.thaw()
    s.beat(2)
    s.show()
    s.guest.advance(3)
    window = Window(t0, s.guest.now)
    first, last = silences(s.trail, window)
    assert [first.least, first.most] == pytest.approx([1, 1.02])
    assert [last.least, last.most] == pytest.approx([0, 3.02])
    assert last.last
    assert longest(s.trail, window) == last
    assert longest_gap(s.trail, window).ns == 1_010_000_000
    assert beats(s.trail, window) == 2
    assert drift(s.trail, Window(0, s.guest.now)) == pytest.approx(0, abs=0.05)


def test_silence_before_a_windows_first_look_does_not_count() -> None:
    s = Shown()
    s.beat(2)
    s.show()
    s.guest.freeze()
    s.guest.advance(10)
    s.show()
    t0 = s.guest.now
    s.guest.advance(2)
    s.show()
    (only,) = silences(s.trail, Window(t0, s.guest.now))
    assert [only.least, only.most] == pytest.approx([2, 2])


def test_an_empty_trail_is_one_silence_that_nobody_proved() -> None:
    trail = Trail(0, KEY, CANARY)
    (only,) = silences(trail, Window(5, 9))
    assert (only.least, only.most, only.last) == (0, 4, True)
    assert longest_gap(trail, Window(5, 9)).ns == 0
    assert beats(trail, Window(5, 9)) == 0
    assert drift(trail, Window(5, 9)) is None


def test_pages_of_the_same_bytes_are_equal_values() -> None:
    s = Shown()
    s.beat(3)
    a, b = parse(s.page(), KEY), parse(s.page(), KEY)
    assert isinstance(a, Page)
    assert a == b
