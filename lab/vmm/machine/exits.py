# SPDX-License-Identifier: Apache-2.0
"""Serves the exits of vCPUs that the kernel runs by itself: one thread for all, by poll().

An exit is served exactly once, as the guest and the device see it. What serving it does is either
private until the journal has it, or is the same when done again: a byte goes to the same place
in the console's file, an interrupt line to the same level. (Where IRQ4 must fall and rise for each
byte, a VMM killed at that moment leaves one more edge. The port then says that there is no cause.)
"""

from __future__ import annotations

import contextlib
import mmap
import os
import select
import struct
import threading
from collections.abc import Callable, Mapping

from ..devices.journal import Journal
from ..kvm import async_run as kvm_async
from ..kvm import common as kvm
from .async_vcpu import AsyncVcpu
from .vcpu import EXIT_REASON, Handler, Stop, VcpuState

Handlers = Mapping[int, Handler]
Serve = Callable[[int, mmap.mmap, Handlers, Journal], Stop | None]
_reason_of = struct.Struct("=I").unpack_from


class ExitServer:
    """The thread, the vCPUs that it watches, and the journal of what it did.

    Args:
        handlers: What serves each exit reason.
        journal: Where each exit that was served is noted.
        serve_one: Serves one exit; `serve` if None.
    """

    def __init__(
        self, handlers: Handlers, journal: Journal, serve_one: Serve | None = None
    ) -> None:
        self._handlers = handlers
        self._serve = serve_one or serve
        self._journal = journal
        self._vcpus: dict[int, AsyncVcpu] = {}
        self._epoll = select.epoll()
        self._end = os.eventfd(0, os.EFD_CLOEXEC)
        self._epoll.register(self._end, select.EPOLLIN)
        self._broken = False
        self._watching = threading.Lock()  # so that resuming cannot miss a vCPU that just paused
        self._thread = threading.Thread(target=self._loop, name="exits", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def watch(self, vcpu: AsyncVcpu) -> None:
        """Serve a vCPU's exits, and run it after each unless a pause was requested.

        Args:
            vcpu: The vCPU.
        """
        self._vcpus[vcpu.fd] = vcpu
        with self._watching, contextlib.suppress(FileExistsError):
            self._epoll.register(vcpu.fd, select.EPOLLIN)

    def close(self) -> None:
        """Stop serving; returns when no exit is half done."""
        os.eventfd_write(self._end, 1)
        self._thread.join()

    def _loop(self) -> None:
        while True:
            ready = [fd for fd, _ in self._epoll.poll()]
            if self._end in ready:
                return
            for fd in ready:
                self._turn(self._vcpus[fd])

    def _turn(self, vcpu: AsyncVcpu) -> None:
        stop: Stop | None = None
        try:
            if not self._broken:
                self._count(vcpu)
                stop = self._serve(vcpu.index, vcpu.run, self._handlers, self._journal)
        except Exception as e:  # noqa: BLE001  # whatever broke, status must say so
            # the state in hand may be half changed: no other exit may make it true
            self._broken = True
            stop = Stop("broken", f"{type(e).__name__}: {e}")
        with self._watching:
            try:
                runs_on = not stop and not self._broken and vcpu.run_on()
            except OSError as e:
                stop, runs_on = Stop("broken", str(e)), False
            if not runs_on:
                self._epoll.unregister(vcpu.fd)
        if stop:
            vcpu.report_stop(_explained(stop, vcpu))

    def _count(self, vcpu: AsyncVcpu) -> None:
        (reason,) = _reason_of(vcpu.run, EXIT_REASON)
        if kvm_async.page_of(vcpu.run).exit_seq != self._journal.served[vcpu.index]:
            vcpu.exits[reason] += 1
        elif reason == kvm.Exit.INTR and vcpu.state is VcpuState.RUNNING:
            vcpu.interrupted += 1


def serve(index: int, run: mmap.mmap, handlers: Handlers, journal: Journal) -> Stop | None:
    """Serve the exit that a vCPU waits with, unless it was served already.

    Args:
        index: The vCPU's index.
        run: The mapping of its descriptor.
        handlers: What serves each exit reason.
        journal: Where the exit is noted once it was served.

    Returns:
        Why the vCPU must stop, or None if it may run on.
    """
    exit_seq, state = kvm_async.page_of(run)
    if state != kvm_async.State.PAUSED:
        return Stop("broken", f"KVM_RUN_ASYNC: {kvm_async.State(state).name}")
    served = journal.served[index]
    if exit_seq == served:  # it never ran, was parked, or its last owner died before the next run
        return None
    if exit_seq != served + 1:
        return Stop("broken", f"exit {exit_seq} came, but the last one served was {served}")
    (reason,) = _reason_of(run, EXIT_REASON)
    handler = handlers.get(reason)
    if handler is None:
        name = kvm.exit_name(reason)
        return Stop("unlisted-exit", f"exit {name}, which labvmm does not serve")
    stop = handler(run)
    if stop is None:
        journal.commit(index, exit_seq)
    return stop


def _explained(stop: Stop, vcpu: AsyncVcpu) -> Stop:
    state = kvm_async.state_of(vcpu.fd)
    if not state.error:
        return stop
    reason = f"{stop.reason}: {os.strerror(-state.error)}, exit {kvm.exit_name(state.exit_reason)}"
    return stop._replace(reason=reason)
