# SPDX-License-Identifier: Apache-2.0
"""One thread a vCPU: KVM_RUN, a table of the exits allowed, and a gate at which it pauses."""

from __future__ import annotations

import abc
import contextlib
import ctypes
import enum
import errno
import mmap
import os
import signal
import struct
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

from ..kvm import ioctl
from ..kvm.common import Request, exit_name

KICK = signal.SIGUSR1
EXIT_REASON = 8  # offsets in struct kvm_run, the same on every architecture
IMMEDIATE_EXIT = 1
UNION = 32
_RUN = Request.KVM_RUN.value
_GO_ON = frozenset({errno.EINTR, errno.EAGAIN})  # EAGAIN: a vCPU that still waits for its SIPI


class VcpuState(enum.StrEnum):
    """Where a vCPU's thread is."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"


class Stop(NamedTuple):
    """Why a vCPU runs no more."""

    kind: str
    reason: str
    pc: str | None = None


Handler = Callable[[mmap.mmap], Stop | None]


def map_run(fd: int, size: int) -> mmap.mmap:
    """Map what a vCPU shares with KVM: struct kvm_run, and a page for data of ports.

    Args:
        fd: The vCPU's descriptor.
        size: KVM_GET_VCPU_MMAP_SIZE, in bytes.

    Returns:
        The mapping.
    """
    return mmap.mmap(fd, size)


class AnyVcpu(abc.ABC):
    """A vCPU, whether a thread of this process or of the kernel runs it.

    Args:
        fd: Its descriptor.
        index: Its index.
        run_size: KVM_GET_VCPU_MMAP_SIZE, in bytes.
    """

    def __init__(self, fd: int, index: int, run_size: int) -> None:
        self.fd = fd
        self.index = index
        self.run = map_run(fd, run_size)
        self.state = VcpuState.CREATED
        self.stop: Stop | None = None
        self.exits: Counter[int] = Counter()
        self.interrupted = 0
        self.tid: int | None = None  # of the thread that runs it, if it is one of this process
        self.on_stop: Callable[[AnyVcpu], None] = lambda _: None
        self._changed = threading.Condition()
        self._want_pause = False

    @abc.abstractmethod
    def start(self) -> None:
        """Run the vCPU from now on."""

    @abc.abstractmethod
    def request_pause(self) -> None:
        """Ask it to leave the guest, or not to enter it."""

    def pause(self, patience: float = 10.0) -> bool:
        """Ask the vCPU to leave the guest, and wait until it has.

        Args:
            patience: Seconds to wait.

        Returns:
            Whether it left in time.
        """
        self.request_pause()
        with self._changed:
            return self._changed.wait_for(
                lambda: self.state in {VcpuState.PAUSED, VcpuState.STOPPED}, patience
            )

    @abc.abstractmethod
    def resume(self) -> None:
        """Let it enter the guest again."""

    def settle(self) -> None:  # noqa: B027 - what leaves KVM_RUN by a signal has nothing left
        """Have KVM complete what it was served, so that a paused vCPU's registers are all true."""

    def _become(self, state: VcpuState) -> None:
        with self._changed:
            self._set(state)

    def _set(self, state: VcpuState) -> None:
        self.state = state
        self._changed.notify_all()


class Vcpu(AnyVcpu):
    """A vCPU and the thread of this process that runs it.

    Args:
        fd: Its descriptor.
        index: Its index.
        run_size: KVM_GET_VCPU_MMAP_SIZE, in bytes.
        exits: What serves each exit reason.
    """

    def __init__(self, fd: int, index: int, run_size: int, exits: Mapping[int, Handler]) -> None:
        super().__init__(fd, index, run_size)
        self._handlers = exits
        self.thread = threading.Thread(target=self._thread, name=f"vcpu{index}", daemon=True)

    def start(self) -> None:
        """Run the vCPU from now on."""
        self.thread.start()
        self.tid = self.thread.native_id

    def request_pause(self) -> None:
        """Ask it to leave the guest, or not to enter it."""
        with self._changed:
            self._want_pause = True
        self.run[IMMEDIATE_EXIT] = 1
        self._kick()

    def resume(self) -> None:
        """Let it enter the guest again."""
        self.run[IMMEDIATE_EXIT] = 0
        with self._changed:
            self._want_pause = False
            self._changed.notify_all()

    def _kick(self) -> None:
        ident = self.thread.ident
        if ident is not None and self.thread.is_alive():
            with contextlib.suppress(ProcessLookupError):
                signal.pthread_kill(ident, KICK)

    def _thread(self) -> None:
        self._become(VcpuState.RUNNING)
        try:
            self.stop = self._loop()
        except Exception as e:  # noqa: BLE001  # whatever broke, status must say so
            self.stop = Stop("broken", f"{type(e).__name__}: {e}")
        self._become(VcpuState.STOPPED)
        self.on_stop(self)

    def _loop(self) -> Stop:
        fd, run, handlers, exits = self.fd, self.run, self._handlers, self.exits
        reason_of = struct.Struct("=I").unpack_from
        while True:
            if ioctl.raw(fd, _RUN, 0) < 0:
                code = ctypes.get_errno()
                if code not in _GO_ON:
                    return Stop("broken", f"KVM_RUN: {os.strerror(code)}")
                self._wait_at_gate()
                continue
            (reason,) = reason_of(run, EXIT_REASON)
            exits[reason] += 1
            handler = handlers.get(reason)
            if handler is None:
                return Stop(
                    "unlisted-exit", f"exit {exit_name(reason)}, which labvmm does not serve"
                )
            stop = handler(run)
            if stop is not None:
                return stop

    def _wait_at_gate(self) -> None:
        self.interrupted += 1
        if self._want_pause:
            with self._changed:
                if self._want_pause:
                    self._set(VcpuState.PAUSED)
                    self._changed.wait_for(lambda: not self._want_pause)
                    self._set(VcpuState.RUNNING)
