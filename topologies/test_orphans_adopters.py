# SPDX-License-Identifier: Apache-2.0
"""Which processes may adopt an orphan, which may not, and what others on its host try."""

from __future__ import annotations

import pytest

from lab.deadline import pause, until
from lab.guest.guest import RunningGuest
from lab.testing.orphans import Orphans

pytestmark = [
    pytest.mark.tier("nightly"),  # minutes, on top of the cells that show the same
    pytest.mark.twin("test_a_guest_that_nobody_holds_is_lost_and_leaves_nothing"),
]

BOTH_RUN, BOTH_WAIT = ["RUNNING", "RUNNING"], ["PAUSED", "PAUSED"]


def ways(guest: RunningGuest, *words: str, keeper: str | None = None) -> tuple[str, ...]:
    """Return the arguments of an adoption that does not wait for long."""
    sockets = (keeper or guest.plan.keeper_socket, "--socket", f"{guest.plan.folder}/other.sock")
    return ("adopt", "--keeper", *sockets, "--patience-ms", "200", *words)


def test_a_guest_with_an_owner_is_not_adopted(orphans: Orphans) -> None:
    guest = orphans.start()
    assert "KVM_ADOPT: Device or resource busy" in orphans.refused(*ways(guest))
    assert orphans.status(guest).generation == 0


@pytest.mark.parametrize("who", [("--uid", "1000"), ("--uid", "1000", "--userns")])
def test_another_user_may_not_adopt_it_and_its_own_may(
    orphans: Orphans, who: tuple[str, ...]
) -> None:
    """Root of a namespace of one's own is no more than the user who made it."""
    guest = orphans.start()
    orphans.kill_vmm(guest)
    said = orphans.refused(*ways(guest, *who))
    assert "KVM_ADOPT: Operation not permitted" in said
    assert orphans.status(guest).generation == 0
    orphans.adopt(guest)
    assert orphans.states(guest) == BOTH_RUN


def test_of_two_adopters_one_wins(orphans: Orphans) -> None:
    guest = orphans.start()
    orphans.kill_vmm(guest)
    logs = [f"{guest.plan.folder}/{name}.log" for name in ("one", "two")]
    for log in logs:
        words = ("--keeper", guest.plan.keeper_socket, "--socket", f"{log}.sock")
        orphans.spawn(log, "adopt", *words)

    def both_spoke() -> list[str] | None:
        said = [orphans.host.session.get(log).decode() for log in logs]
        return said if all(said) else None

    said = until("both adopters to speak", both_spoke, orphans.by)
    assert sum('"state": "running"' in text for text in said) == 1
    assert sum(text.startswith("labvmm adopt: KVM_ADOPT: ") for text in said) == 1
    assert orphans.status(guest).generation == 1


def test_an_adopter_that_lacks_a_descriptor_says_which(orphans: Orphans) -> None:
    guest = orphans.start()
    orphans.kill_vmm(guest)
    short = orphans.second_keeper(guest, "--without", "vcpu1")
    said = orphans.refused(*ways(guest, keeper=short))
    assert "the hand-over lacks descriptors: vcpu1" in said


def test_another_keeper_takes_the_place_of_one_that_dies(orphans: Orphans) -> None:
    guest = orphans.start()
    orphans.kill_vmm(guest)
    second = orphans.second_keeper(guest)
    orphans.kill(guest.keepers[0].pid)
    said = orphans.labvmm("orphan-status", "--keeper", second)
    assert [vcpu["state"] for vcpu in said["vcpus"]] == BOTH_RUN


def test_a_guest_that_nobody_holds_is_lost_and_leaves_nothing(orphans: Orphans) -> None:
    guest = orphans.start()
    orphans.kill_vmm(guest)
    assert orphans.count("grep kvm-vcpu /proc/[0-9]*/comm") == len(BOTH_RUN)
    orphans.kill(guest.keepers[0].pid)
    orphans.wait_for_nothing()


@pytest.mark.parametrize("deed", ["run", "release", "memslot"])
def test_a_process_that_is_not_the_owner_may_do_nothing(orphans: Orphans, deed: str) -> None:
    guest = orphans.start()
    words = ("hostile", "--keeper", guest.plan.keeper_socket, deed)
    assert set(orphans.labvmm(*words)["answers"].values()) == {"EIO"}
    orphans.kill_vmm(guest)
    assert set(orphans.labvmm(*words)["answers"].values()) == {"EIO"}
    assert orphans.states(guest) == BOTH_RUN


@pytest.mark.parametrize(
    ("deed", "states"),
    [("stop-threads", BOTH_RUN), ("trace-threads", BOTH_RUN), ("kill-threads", BOTH_WAIT)],
)
def test_what_is_done_to_its_threads_does_not_end_it(
    orphans: Orphans, deed: str, states: list[str]
) -> None:
    guest = orphans.start()
    orphans.kill_vmm(guest)
    orphans.labvmm("hostile", "--keeper", guest.plan.keeper_socket, deed)
    pause(0.3)
    assert orphans.states(guest) == states
    orphans.adopt(guest)
    assert orphans.states(guest) == BOTH_RUN


def test_a_guest_whose_memory_is_taken_ends_and_its_host_lives(orphans: Orphans) -> None:
    guest = orphans.start()
    orphans.kill_vmm(guest)
    said = orphans.labvmm("hostile", "--keeper", guest.plan.keeper_socket, "punch-hole")
    assert said["answers"] == {"fallocate": "ok"}
    pause(1)
    assert orphans.status(guest).owner == "GONE"
    guest.kill()
    orphans.wait_for_nothing()
