# SPDX-License-Identifier: Apache-2.0
"""Exits are served exactly once, wherever a VMM is killed; and what would not do so is caught."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.vmm.devices import console, journal
from lab.vmm.devices.journal import Journal
from lab.vmm.devices.serial import LINE
from lab.vmm.errors import VmmError
from lab.vmm.fault import mutants
from lab.vmm.kvm import async_run as kvm_async
from lab.vmm.kvm import common as kvm
from lab.vmm.machine import exits
from lab.vmm.machine.vcpu import EXIT_REASON
from tests.support.vmm_world import Access, World, killed_at, own

IER, THR, IIR, LSR = 1, 0, 2, 5
X86 = [
    Access(THR, b"a"),
    Access(IER, b"\x02"),  # the port may interrupt, and has cause to
    Access(IIR),
    Access(THR, b"bcd"),  # rep outsb
    Access(IIR),
    Access(IIR),
    Access(IER, b"\x00"),
    Access(LSR),
]
X86_ANSWERS = bytes((0x02, 0x02, 0x01, 0x60))
DR, MIS, ICR, IMSC = 0x00, 0x40, 0x44, 0x38
ARM64 = [
    Access(DR, b"a"),
    Access(IMSC, b"\x20"),
    Access(MIS),
    Access(ICR, b"\x20"),
    Access(MIS),
    Access(DR, b"b"),
    Access(MIS),
]
ARM64_ANSWERS = bytes((0x20, 0x00, 0x20))


@pytest.fixture(params=["x86", "arm64"])
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], World]]:
    made: list[World] = []

    def make() -> World:
        for old in made:
            old.close()
        is_x86 = request.param == "x86"
        made[:] = [World(tmp_path, X86 if is_x86 else ARM64, is_x86)]
        return made[0]

    yield make
    for world in made:
        world.close()


def wrong(world: World) -> str:
    """Return what came out wrong; nothing, if all is as if no VMM had been killed."""
    if world.printed != (b"abcd" if world.is_x86 else b"ab"):
        return f"printed {world.printed!r}"
    if world.answers != (X86_ANSWERS if world.is_x86 else ARM64_ANSWERS):
        return f"answered {world.answers.hex()}"
    if not 2 <= world.rises <= 3:  # one more than needed: the port then says that it has no cause
        return f"interrupted {world.rises} times"
    return ""


def all_kills(fresh: Callable[[], World], *, stop_early: bool = False) -> dict[int, str]:
    """Kill at every line, let the next labvmm go on; give what came out wrong, by line."""
    found: dict[int, str] = {}
    line = 0
    while True:
        line += 1
        world = fresh()
        lived = killed_at(line, world)
        if lived:
            assert line > 100, "it was hardly killed at all"
            return found
        own(world)
        what = wrong(world)
        if what:
            found[line] = what
            if stop_early:
                return found


def test_a_vmm_that_is_not_killed_serves_all(fresh: Callable[[], World]) -> None:
    world = fresh()
    assert killed_at(0, world)
    assert wrong(world) == ""
    assert world.rises == 2


def test_vmm_killed_anywhere_serves_each_exit_exactly_once(
    fresh: Callable[[], World],
) -> None:
    assert all_kills(fresh) == {}


def mutant_appends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Print where the file ends, not where the journal says."""

    def journaled(fd: int, _: Journal) -> Callable[[bytes], object]:
        def mutant_write(content: bytes) -> None:
            os.lseek(fd, 0, os.SEEK_END)
            os.write(fd, content)

        return mutant_write

    monkeypatch.setattr(console, "journaled", journaled)


def mutant_commits_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Report an exit as served before it is."""

    def mutant_serve(index: int, run: mmap.mmap, handlers: exits.Handlers, state: Journal) -> None:
        exit_seq, _ = kvm_async.page_of(run)
        if exit_seq == state.served[index]:
            return
        state.commit(index, exit_seq)
        (reason,) = struct.unpack_from("=I", run, EXIT_REASON)
        handlers[reason](run)
        state.write()

    monkeypatch.setattr(exits, "serve", mutant_serve)


def mutant_forgets_what_it_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """Serve whatever exit there is, served or not."""

    def mutant_serve(index: int, run: mmap.mmap, handlers: exits.Handlers, state: Journal) -> None:
        (reason,) = struct.unpack_from("=I", run, EXIT_REASON)
        handlers[reason](run)
        state.commit(index, kvm_async.page_of(run).exit_seq)

    monkeypatch.setattr(exits, "serve", mutant_serve)


def mutant_writes_in_two_strokes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Change the copy that is true: registers first, the exit's number after."""

    def mutant_write(self: Journal) -> None:
        at = journal.COPIES_AT + self.pages[journal.INDEX_AT] * self._copy.size
        self._copy.pack_into(
            self.pages, at, self.console_at, bytes(self.registers), max(self.served[0] - 1, 0)
        )
        self._copy.pack_into(self.pages, at, self.console_at, bytes(self.registers), self.served[0])

    monkeypatch.setattr(Journal, "write", mutant_write)


def mutant_forgets_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Think that the interrupt line is down, because one has just begun."""
    real = journal.read

    def mutant_read(fd: int, vcpus: int) -> Journal:
        state = real(fd, vcpus)
        state.registers[LINE] = 0
        return state

    monkeypatch.setattr(journal, "read", mutant_read)


@pytest.mark.parametrize(
    "mutant",
    [
        mutant_forgets_the_line,
        mutant_appends,
        mutant_commits_first,
        mutant_forgets_what_it_served,
        mutant_writes_in_two_strokes,
    ],
)
def test_a_vmm_that_serves_twice_or_not_at_all_is_caught(
    fresh: Callable[[], World],
    monkeypatch: pytest.MonkeyPatch,
    mutant: Callable[[pytest.MonkeyPatch], None],
) -> None:
    mutant(monkeypatch)
    assert all_kills(fresh, stop_early=True)


@pytest.mark.parametrize("name", sorted(mutants.MUTANTS))
def test_the_mutants_that_cycle_offers_are_caught_too(
    fresh: Callable[[], World], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    serve, real = mutants.MUTANTS[name], exits.serve

    def mutant(index: int, run: mmap.mmap, handlers: exits.Handlers, state: Journal) -> object:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(exits, "serve", real)
            return serve(index, run, handlers, state)

    monkeypatch.setattr(mutants, "LINGER_S", 0)
    monkeypatch.setattr(exits, "serve", mutant)
    assert all_kills(fresh, stop_early=True)


def test_a_copy_that_was_half_written_is_not_read() -> None:
    state = journal.create(2, console_at=7)
    state.registers[0] = 5
    state.commit(1, 3)
    true = state.pages[journal.INDEX_AT]
    size = state._copy.size
    at = journal.COPIES_AT + (1 - true) * size
    state.pages[at : at + size] = b"\xff" * size
    heir = journal.read(state.fd, 2)
    assert (heir.console_at, heir.served, heir.registers[0]) == (7, [0, 3], 5)
    for one in (state, heir):
        one.pages.close()
    os.close(state.fd)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((0, b"OTHERVMM"), "no device state of labvmm's"),
        ((8, struct.pack("=I", 9)), "version 9; this labvmm knows 2"),
        ((12, struct.pack("=I", 4)), "for 4 vCPUs with 32 bytes of registers, not for 2 with 32"),
        ((16, struct.pack("=I", 64)), "with 64 bytes of registers"),
    ],
)
def test_state_that_it_does_not_know_is_refused(change: tuple[int, bytes], message: str) -> None:
    state = journal.create(2)
    at, content = change
    os.pwrite(state.fd, content, at)
    with pytest.raises(VmmError, match=message):
        journal.read(state.fd, 2)
    state.pages.close()
    os.close(state.fd)


def test_adopter_of_state_knows_the_guest_lives_elsewhere() -> None:
    state = journal.create(1)
    assert not state.handed_over
    state.handed_over = True
    state.commit(0, 1)
    heir = journal.read(state.fd, 1)
    assert heir.handed_over
    heir.handed_over = False
    assert not state.handed_over
    for one in (state, heir):
        one.pages.close()
    os.close(state.fd)


def test_nobody_can_cut_the_state_short() -> None:
    state = journal.create(1)
    with pytest.raises(PermissionError):
        os.ftruncate(state.fd, 0)
    state.pages.close()
    os.close(state.fd)


def test_out_of_order_exit_is_an_error_and_not_served(
    fresh: Callable[[], World],
) -> None:
    world = fresh()
    struct.pack_into("=QI", world.run, kvm_async.PAGE_AT, 5, kvm_async.State.PAUSED)
    stop = exits.serve(0, world.run, {}, world.state)
    assert stop is not None
    assert stop.reason == "exit 5 came, but the last one served was 0"


def test_unhandled_exit_stops_the_vcpu_and_stays_unserved(
    fresh: Callable[[], World],
) -> None:
    world = fresh()
    struct.pack_into("=I", world.run, EXIT_REASON, kvm.Exit.HYPERCALL)
    stop = exits.serve(0, world.run, {}, world.state)
    assert stop is not None
    assert stop.kind == "unlisted-exit"
    assert world.state.served == [0]
