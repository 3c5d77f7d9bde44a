# SPDX-License-Identifier: Apache-2.0
"""What the lab does to a machine is announced, and what its kernel does is judged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from queue import Queue
from threading import Thread
from time import monotonic
from types import SimpleNamespace
from typing import Any

import libvirt
import pytest

from lab.deadline import Deadline, until
from lab.errors import InfraError
from lab.runner.interference import interference_of
from lab.verdict.evidence import Interference
from lab.virt.connection import Connection, connect
from lab.virt.domain import Domain
from lab.virt.happenings import Happening, Happenings
from lab.virt.lifecycle import described, reset_word
from tests.support.domain_specs import ASKED_ARM64, L1

SPEC = replace(L1, user=None, request=ASKED_ARM64)


class Clock:
    """A clock that goes when it is told to."""

    now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def words(found: Happenings) -> list[str]:
    return [one.what for one in found.by_others]


def test_what_nobody_announced_was_done_by_others() -> None:
    found = Happenings(Clock())
    found.note("paused")
    found.note("resumed")
    assert found.by_others == (
        Happening(100.0, "paused", False),
        Happening(100.0, "resumed", False),
    )


def test_an_announcement_excuses_one_event_of_its_kind() -> None:
    found = Happenings(Clock())
    with found.announced("paused"):
        found.note("resumed")
        found.note("paused")
        found.note("paused: I/O error")
    assert words(found) == ["resumed", "paused: I/O error"]


def test_an_event_comes_after_the_answer_to_what_made_it() -> None:
    clock = Clock()
    found = Happenings(clock)
    with found.announced("reset"):
        clock.now += 60
    clock.now += 4
    found.note("reset")
    assert words(found) == []


def test_what_is_told_in_the_block_is_not_waited_for() -> None:
    found = Happenings(Clock())
    began = monotonic()
    with found.announced("paused", "resumed", told_within_s=60):
        found.note("paused")
        found.note("resumed")
    assert monotonic() - began < 30
    found.note("paused")
    assert words(found) == ["paused"]


def test_what_was_waited_for_in_vain_excuses_nobody() -> None:
    found = Happenings(Clock())
    with found.announced("paused", told_within_s=0.01):
        pass
    found.note("paused")
    assert words(found) == ["paused"]


def test_a_look_that_failed_is_not_waited_for() -> None:
    found = Happenings(Clock())
    began = monotonic()
    with pytest.raises(InfraError), found.announced("paused", told_within_s=60):
        raise InfraError("QEMU refused")
    assert monotonic() - began < 30
    found.note("paused")
    assert words(found) == []


def test_looks_at_cpus_are_the_labs_however_late_libvirt_tells(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A resident guest is proven by up to 80 looks, each of which stops its host for a moment."""
    clock = Clock()
    raw: Any = SimpleNamespace(name=lambda: "x")
    domain = Domain(raw, "a")
    domain.happenings = Happenings(clock)
    due: Queue[str] = Queue()
    teller = Thread(target=tell_late, args=(due, domain, clock), daemon=True)

    def send(execute: str, *_: object) -> dict[str, int]:
        if execute == "xen-save-devices-state":
            due.put("paused")
            due.put("resumed")
        return {"fdset-id": 1}

    monkeypatch.setattr(domain, "_send", send)
    teller.start()
    for _ in range(80):
        assert domain._device_state() == b""
    due.put("")
    teller.join()
    assert words(domain.happenings) == []
    domain.happened("paused")
    assert words(domain.happenings) == ["paused"]


def tell_late(due: Queue[str], domain: Domain, clock: Clock) -> None:
    """Tell of each event 6 s after it was made."""
    while what := due.get():
        clock.now += 6
        domain.happened(what)


def test_an_announcement_does_not_excuse_for_ever() -> None:
    clock = Clock()
    found = Happenings(clock)
    with found.announced("reset"):
        pass
    clock.now += 6
    found.note("reset")
    assert words(found) == ["reset"]


@pytest.mark.parametrize(
    ("event", "detail", "others"),
    [
        (libvirt.VIR_DOMAIN_EVENT_SUSPENDED, libvirt.VIR_DOMAIN_EVENT_SUSPENDED_PAUSED, True),
        (libvirt.VIR_DOMAIN_EVENT_SUSPENDED, libvirt.VIR_DOMAIN_EVENT_SUSPENDED_IOERROR, True),
        (libvirt.VIR_DOMAIN_EVENT_SUSPENDED, libvirt.VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED, True),
        (libvirt.VIR_DOMAIN_EVENT_RESUMED, libvirt.VIR_DOMAIN_EVENT_RESUMED_UNPAUSED, True),
        (libvirt.VIR_DOMAIN_EVENT_PMSUSPENDED, libvirt.VIR_DOMAIN_EVENT_PMSUSPENDED_MEMORY, True),
        (libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_DESTROYED, True),
        (libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_CRASHED, True),
        (libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_MIGRATED, True),
        (libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN, False),
        (libvirt.VIR_DOMAIN_EVENT_SHUTDOWN, libvirt.VIR_DOMAIN_EVENT_SHUTDOWN_GUEST, False),
        (libvirt.VIR_DOMAIN_EVENT_SHUTDOWN, libvirt.VIR_DOMAIN_EVENT_SHUTDOWN_HOST, True),
        (libvirt.VIR_DOMAIN_EVENT_CRASHED, libvirt.VIR_DOMAIN_EVENT_CRASHED_PANICKED, False),
        (libvirt.VIR_DOMAIN_EVENT_DEFINED, 0, False),
        (99, 0, True),
    ],
)
def test_what_a_machine_does_by_itself_is_not_done_by_others(
    event: int, detail: int, others: bool
) -> None:
    found = Happenings(Clock())
    found.note(described(event, detail))
    assert bool(found.by_others) is others


@pytest.mark.parametrize(
    ("details", "others"),
    [
        ('{"guest":true,"reason":"guest-reset"}', False),
        ('{"guest":false,"reason":"host-qmp-system-reset"}', True),
        (None, True),
    ],
)
def test_a_reset_by_the_machines_own_kernel_is_judged(details: str | None, others: bool) -> None:
    found = Happenings(Clock())
    found.note(reset_word(details))
    assert bool(found.by_others) is others


@pytest.fixture
def connection() -> Iterator[Connection]:
    with connect("test:///default") as opened:
        yield opened


def test_another_client_is_told_from_the_lab(connection: Connection) -> None:
    domain = connection.define_and_start(replace(SPEC, name="shared"))
    told: list[str] = []
    domain.on_lifecycle(told.append)
    domain.pause()
    domain.resume()
    until("the lab's own", lambda: "resumed" in told or None, Deadline.after(10))
    assert "paused" not in words(domain.happenings)
    with connect("test:///default") as other:
        raw = other.raw.lookupByName("shared") if "shared" in other.names() else domain.raw
        raw.suspend()
        raw.resume()
    until("another's", lambda: told.count("resumed") == 2 or None, Deadline.after(10))
    assert words(domain.happenings)[-2:] == ["paused", "resumed"]
    domain.destroy()


def test_all_that_the_lab_does_is_announced() -> None:
    raw: Any = SimpleNamespace(name=lambda: "x")
    domain = Domain(raw, "a")
    raw.suspend, raw.resume, raw.reset = (
        partial(domain.happened, word) for word in ("paused", "resumed", "reset")
    )
    domain.pause()
    domain.resume()
    domain.reset()
    assert domain.happenings.by_others == ()
    raw.reset()
    assert words(domain.happenings) == ["reset"]


def test_a_watch_tells_what_others_did_and_that_l0_slept() -> None:
    happenings = Happenings(Clock())
    happenings.note("paused")
    jitter: Any = SimpleNamespace(suspended=((99.0, 12.0),))
    domain: Any = SimpleNamespace(role="a", happenings=happenings)
    assert interference_of(domain, jitter) == (
        Interference(99.0, "L0 was suspended for 12.0 s"),
        Interference(100.0, "libvirt says that a was paused"),
    )
