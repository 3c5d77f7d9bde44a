# SPDX-License-Identifier: Apache-2.0
"""vCPUs that the kernel runs: start, pause, exits, the end; on a fake of that kernel."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from lab.vmm.devices import journal
from lab.vmm.errors import VmmError
from lab.vmm.kvm import async_run as kvm_async
from lab.vmm.kvm import common as kvm
from lab.vmm.kvm import ioctl
from lab.vmm.kvm.async_run import State
from lab.vmm.machine import exits, vcpu
from lab.vmm.machine.async_vcpu import AsyncVcpu
from lab.vmm.machine.vcpu import EXIT_REASON, Stop, VcpuState

HYPERCALL = int(kvm.Exit.HYPERCALL)


class Kernel:
    """vCPUs as eventfds, which are readable while they do not run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.runs = {os.eventfd(1): 0 for _ in range(2)}
        self.pages: dict[int, mmap.mmap] = {}
        self.lock = threading.Lock()
        self.error = 0
        monkeypatch.setattr(kvm_async, "run", self.run)
        monkeypatch.setattr(kvm_async, "park", lambda fd: self.leave(fd, kvm.Exit.INTR))
        monkeypatch.setattr(kvm_async, "state_of", lambda _: kvm_async.AsyncState(error=self.error))
        monkeypatch.setattr(vcpu, "map_run", self.map_run)

    def map_run(self, fd: int, size: int) -> mmap.mmap:
        """Map the shared page of a vCPU."""
        return self.pages.setdefault(fd, mmap.mmap(-1, size))

    def state(self, fd: int) -> State:
        """Return what a vCPU does."""
        return State(kvm_async.page_of(self.pages[fd]).state)

    def run(self, fd: int) -> None:
        """Let it into the guest; twice would be EBUSY."""
        with self.lock:
            assert self.state(fd) is State.PAUSED
            self.runs[fd] += 1
            os.eventfd_read(fd)
            self._tell(fd, State.RUNNING, 0)

    def leave(self, fd: int, reason: int, state: State = State.PAUSED) -> None:
        """Come out of the guest; parking one that does not run does nothing."""
        with self.lock:
            if self.state(fd) is not State.RUNNING:
                return
            struct.pack_into("=I", self.pages[fd], EXIT_REASON, reason)
            self._tell(fd, state, reason != kvm.Exit.INTR)
            os.eventfd_write(fd, 1)

    def _tell(self, fd: int, state: State, more: int) -> None:
        exit_seq = kvm_async.page_of(self.pages[fd]).exit_seq + more
        struct.pack_into("=QI", self.pages[fd], kvm_async.PAGE_AT, exit_seq, state)


class Guest:
    """Two vCPUs, their server, and what was served."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.served: list[int] = []
        self.answer: Callable[[], Stop | None] = lambda: None
        self.state = journal.create(2)
        self.server = exits.ExitServer({HYPERCALL: self._serve}, self.state)
        self.vcpus = [AsyncVcpu(fd, n, 8192) for n, fd in enumerate(kernel.runs)]
        self.stops: list[AsyncVcpu] = []
        self.stopped = threading.Event()
        for one in self.vcpus:
            one.watch = self.server.watch
            one.on_stop = self._stop

    def _serve(self, run: mmap.mmap) -> Stop | None:
        self.served.append(kvm_async.page_of(run).exit_seq)
        return self.answer()

    def _stop(self, one: Any) -> None:
        self.stops.append(one)
        self.stopped.set()

    def start(self) -> None:
        """Serve, and start both."""
        self.server.start()
        for one in self.vcpus:
            one.start()

    def soon(self, what: Callable[[], object]) -> None:
        """Wait until it is so."""
        for _ in range(2000):
            if what():
                return
            threading.Event().wait(0.005)
        raise AssertionError("it did not come")

    def running(self, *which: int) -> bool:
        """Return whether all of these are in the guest."""
        return all(self.kernel.state(self.vcpus[n].fd) is State.RUNNING for n in which)


@pytest.fixture
def guest(monkeypatch: pytest.MonkeyPatch) -> Iterator[Guest]:
    kernel = Kernel(monkeypatch)
    made = Guest(kernel)
    yield made
    if made.server._thread.is_alive():
        made.server.close()
    made.state.pages.close()
    for fd in (*kernel.runs, made.state.fd):
        os.close(fd)


def test_a_guest_that_never_ran_runs_and_its_exits_are_served(guest: Guest) -> None:
    guest.start()
    guest.soon(lambda: guest.running(0, 1))
    assert guest.served == []
    for number in range(1, 4):
        guest.kernel.leave(guest.vcpus[1].fd, HYPERCALL)
        guest.soon(served(guest, number))
    assert guest.served == [1, 2, 3]
    assert guest.vcpus[1].exits == {HYPERCALL: 3}


def served(guest: Guest, number: int) -> Callable[[], bool]:
    return lambda: guest.state.served == [0, number] and guest.running(1)


@pytest.mark.parametrize(
    ("code", "refused"),
    [
        (errno.EINTR, None),
        (errno.EAGAIN, None),
        (0, "still has an exit to serve"),
        (errno.EIO, "KVM_RUN: Input/output error"),
    ],
)
def test_served_exit_completes_before_registers_are_read(
    guest: Guest, monkeypatch: pytest.MonkeyPatch, code: int, refused: str | None
) -> None:
    one, seen = guest.vcpus[0], []

    def run(fd: int, request: int, _: int) -> int:
        seen.append((fd, request, one.run[vcpu.IMMEDIATE_EXIT]))
        ctypes.set_errno(code)
        return -1 if code else 0

    monkeypatch.setattr(ioctl, "raw", run)
    with pytest.raises((OSError, VmmError), match=refused) if refused else nullcontext():
        one.settle()
    assert seen == [(one.fd, kvm.Request.KVM_RUN, 1)]
    assert one.run[vcpu.IMMEDIATE_EXIT] == 0


def test_a_pause_holds_until_resume(guest: Guest) -> None:
    guest.start()
    guest.soon(lambda: guest.running(0, 1))
    for _ in range(20):
        assert guest.vcpus[0].pause(5)
        assert guest.vcpus[0].state is VcpuState.PAUSED
        assert not guest.running(0)
        guest.vcpus[0].resume()
        guest.soon(lambda: guest.running(0))
    assert guest.running(1)
    assert guest.vcpus[0].interrupted == 20


def test_exit_during_pause_is_served_and_vcpu_stays_paused(guest: Guest) -> None:
    guest.start()
    guest.soon(lambda: guest.running(0, 1))
    guest.vcpus[0]._want_pause = True
    guest.kernel.leave(guest.vcpus[0].fd, HYPERCALL)
    guest.soon(lambda: guest.vcpus[0].state is VcpuState.PAUSED)
    assert guest.served == [1]
    assert not guest.running(0)


def test_an_adopter_may_hold_all_before_any_runs(guest: Guest) -> None:
    for one in guest.vcpus:
        one.request_pause()
    guest.start()
    guest.soon(lambda: all(one.state is VcpuState.PAUSED for one in guest.vcpus))
    assert set(guest.kernel.runs.values()) == {0}


def test_an_adopter_watches_what_runs_and_serves_what_waits(guest: Guest) -> None:
    first, second = (one.fd for one in guest.vcpus)
    guest.kernel.run(first)
    guest.kernel.run(second)
    guest.kernel.leave(second, HYPERCALL)
    guest.start()
    guest.soon(lambda: guest.running(0, 1))
    assert guest.served == [1]
    assert guest.kernel.runs == {first: 1, second: 2}


def test_an_owner_that_released_it_serves_no_more(guest: Guest) -> None:
    guest.start()
    guest.soon(lambda: guest.running(0, 1))
    guest.server.close()
    guest.kernel.leave(guest.vcpus[0].fd, HYPERCALL)
    assert guest.served == []
    assert guest.state.served == [0, 0]


def test_guest_ending_exit_is_reported_and_not_marked_served(guest: Guest) -> None:
    guest.answer = lambda: Stop("reset", "it asked for it")
    guest.start()
    guest.soon(lambda: guest.running(0, 1))
    guest.kernel.leave(guest.vcpus[0].fd, HYPERCALL)
    assert guest.stopped.wait(5)
    assert guest.stops == [guest.vcpus[0]]
    assert guest.vcpus[0].state is VcpuState.STOPPED
    assert guest.state.served == [0, 0]


def test_after_a_fault_of_its_own_it_makes_no_state_true(guest: Guest) -> None:
    def half_done() -> Stop | None:
        guest.state.registers[0] = 9
        raise OSError(28, "No space left on device")

    guest.answer = half_done
    guest.start()
    guest.soon(lambda: guest.running(0, 1))
    guest.kernel.leave(guest.vcpus[0].fd, HYPERCALL)
    assert guest.stopped.wait(5)
    assert guest.vcpus[0].stop is not None
    assert "No space left" in guest.vcpus[0].stop.reason
    guest.answer = lambda: None
    guest.kernel.leave(guest.vcpus[1].fd, HYPERCALL)
    guest.soon(lambda: guest.vcpus[1].fd not in registered(guest))
    heir = journal.read(guest.state.fd, 2)
    assert (heir.registers[0], heir.served) == (0, [0, 0])
    heir.pages.close()


def registered(guest: Guest) -> set[int]:
    """Return the descriptors that its epoll watches, as /proc shows them."""
    lines = Path(f"/proc/self/fdinfo/{guest.server._epoll.fileno()}").read_text().splitlines()
    return {int(line.split()[1]) for line in lines if line.startswith("tfd:")}


def test_a_vcpu_that_failed_says_why(guest: Guest) -> None:
    guest.kernel.error = -14
    guest.start()
    guest.soon(lambda: guest.running(0, 1))
    guest.kernel.leave(guest.vcpus[0].fd, HYPERCALL, State.FAILED)
    assert guest.stopped.wait(5)
    assert guest.vcpus[0].stop is not None
    assert guest.vcpus[0].stop.reason == "KVM_RUN_ASYNC: FAILED: Bad address, exit UNKNOWN"
