# SPDX-License-Identifier: Apache-2.0
"""RAM as a witness: what a guest found there decides, and so does that it looked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from lab.observe.window import Window
from lab.testing.simulated_guest import Rehearsal
from lab.testing.simulated_ram import FakeRam
from lab.verdict.evidence import Evidence, ParkedClaim
from lab.verdict.judge import judge, judge_resumed
from lab.verdict.verdict import Check, Lost, Parked, Survived, Unproven
from tests.support.guests_and_their_ram import (
    finds_its_ram_changed_after,
    found_its_ram_changed_before,
    had_its_ram_changed_at_the_first_look,
    is_left_alone_and_looks_no_more,
    is_parked_and_verifies_nothing,
    looks_at_its_ram_no_more,
    looks_at_its_ram_until_it_was_stopped,
    ram_of,
    says_that_it_cannot_look_any_more,
    stop_looking,
)
from tests.support.guests_that_live_or_die import left_alone, lives_on, pauses

Story = Callable[[Rehearsal], Evidence]


@pytest.mark.parametrize("vcpus", [1, 4])
@pytest.mark.parametrize(
    "change", [FakeRam.flip_a_bit, FakeRam.overwrite_a_page, FakeRam.overwrite]
)
def test_a_guest_whose_ram_was_changed_is_lost(
    change: Callable[[FakeRam], None], vcpus: int
) -> None:
    found = judge(finds_its_ram_changed_after(change)(Rehearsal(vcpus)))
    assert (type(found), found.check) == (Lost, Check.RAM), found.reason
    assert f"vCPU {vcpus - 1}: " in found.reason
    assert "its RAM was corrupted: " in found.reason
    assert found.figures.beats_on


@pytest.mark.parametrize(
    "story", [found_its_ram_changed_before, had_its_ram_changed_at_the_first_look]
)
def test_ram_that_was_wrong_before_is_no_loss_by_the_disruption(story: Story) -> None:
    found = judge(story(Rehearsal()))
    assert (type(found), found.check) == (Unproven, Check.RAM), found.reason
    assert "before the disruption" in found.reason


@pytest.mark.parametrize(
    ("story", "says"),
    [
        (looks_at_its_ram_no_more, "none of its RAM since vmm-kill"),
        (is_left_alone_and_looks_no_more, "none of its RAM since its baseline"),
        (says_that_it_cannot_look_any_more, "none of its RAM since vmm-kill"),
        (looks_at_its_ram_until_it_was_stopped, "none of its RAM since it was resumed"),
    ],
)
def test_a_guest_that_verified_none_of_its_ram_proves_nothing(story: Story, says: str) -> None:
    found = judge(story(Rehearsal(2)))
    assert (type(found), found.check) == (Unproven, Check.RAM), found.reason
    assert f"vCPU 1 verified {says}" in found.reason


@pytest.mark.parametrize(
    ("version", "verifies"), [(1, False), (2, False)], ids=["version-1", "cannot"]
)
def test_a_guest_that_verifies_no_ram_says_so(version: int, verifies: bool) -> None:
    found = judge(lives_on(Rehearsal(version=version, verifies=verifies)))
    assert isinstance(found, Survived), found.reason
    assert "it verifies none of its RAM" in found.reason
    assert found.figures.ram_mib is None
    assert found.figures.vcpus[0].ram_mib is None


@pytest.mark.parametrize("story", [lives_on, left_alone, pauses])
def test_how_much_ram_was_verified_is_told(story: Story) -> None:
    found = judge(story(Rehearsal(2)))
    assert isinstance(found, Survived), found.reason
    pages = [vcpu.ram_mib * 256 for vcpu in found.figures.vcpus if vcpu.ram_mib is not None]
    # 100 beats a second, a page each, for 8 s, from the first look after it on.
    assert len(pages) == 2
    assert all(788 <= one <= 801 for one in pages), pages
    assert found.figures.ram_mib == sum(pages) / 256
    assert f"it verified {sum(pages) / 256:.2f} MiB of its RAM since" in found.reason


def test_what_was_verified_before_it_was_struck_does_not_count() -> None:
    r = Rehearsal(baseline_s=30)
    pages = (judge(lives_on(r)).figures.ram_mib or 0) * 256
    assert 788 <= pages <= 801


def test_a_parked_guest_is_asked_for_nothing_until_it_goes_on() -> None:
    r = Rehearsal()
    known = is_parked_and_verifies_nothing(r)
    assert isinstance(judge(known), Parked)


@pytest.mark.parametrize("wrong", ["nothing", "bit", "page", "all", "no-look"])
def test_ram_is_judged_from_when_a_parked_guest_goes_on(wrong: str) -> None:
    r = Rehearsal()
    known = is_parked_and_verifies_nothing(r)
    vcpu = r.guest.vcpus[0]
    match wrong:
        case "bit":
            ram_of(vcpu).flip_a_bit()
        case "page":
            ram_of(vcpu).overwrite_a_page()
        case "all":
            ram_of(vcpu).overwrite()
        case "no-look":
            stop_looking(vcpu)
        case _:
            pass
    began = r.guest.now
    r.guest.thaw()
    r.watch(8.3)
    later = replace(r.evidence(known.disruption), parked=ParkedClaim("PAUSED"), end=known.end)
    found = judge_resumed(later, Window(began, r.guest.now), "parked")
    want = {"nothing": (Survived, Check.ALL), "no-look": (Unproven, Check.RAM)}
    assert (type(found), found.check) == want.get(wrong, (Lost, Check.RAM)), found.reason
