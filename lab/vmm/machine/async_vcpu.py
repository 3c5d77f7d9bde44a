# SPDX-License-Identifier: Apache-2.0
"""A vCPU that the kernel runs on a thread of its own, whether this process lives or not."""

from __future__ import annotations

import ctypes
import errno
import os
import threading
from collections.abc import Callable

from ..errors import VmmError
from ..kvm import async_run as kvm_async
from ..kvm import ioctl
from ..kvm.common import Request
from .vcpu import IMMEDIATE_EXIT, AnyVcpu, Stop, VcpuState


class AsyncVcpu(AnyVcpu):
    """The owner's side of the vCPU; `watch` passes it to the server of its exits."""

    watch: Callable[[AsyncVcpu], object]

    def start(self) -> None:
        """Have its exits served, and run it unless it was paused before."""
        runs = kvm_async.page_of(self.run).state == kvm_async.State.RUNNING
        self._become(VcpuState.RUNNING if runs else VcpuState.CREATED)
        self.watch(self)

    def request_pause(self) -> None:
        """Take it out of the guest; it is paused once its pending exit has been served."""
        with self._changed:
            self._want_pause = True
        kvm_async.park(self.fd)

    def resume(self) -> None:
        """Let it enter the guest again."""
        with self._changed:
            self._want_pause = False
        self.watch(self)

    def settle(self) -> None:
        """Have KVM complete the exit that was served: it does with the next run, and not before.

        Raises:
            VmmError: What it completed led to another exit; resume it, and pause it again.
            OSError: KVM_RUN was refused.
        """
        self.run[IMMEDIATE_EXIT] = 1
        try:
            if ioctl.raw(self.fd, Request.KVM_RUN.value, 0) >= 0:
                raise VmmError(f"vCPU {self.index} still has an exit to serve", hint="try again")
            code = ctypes.get_errno()
            if code not in {errno.EINTR, errno.EAGAIN}:
                raise OSError(code, f"KVM_RUN: {os.strerror(code)}")
        finally:
            self.run[IMMEDIATE_EXIT] = 0

    def run_on(self) -> bool:
        """Run the vCPU after its exit was served, unless a pause was requested.

        Returns:
            Whether it runs.
        """
        with self._changed:  # so that it is either parked after it runs, or not run at all
            if self._want_pause:
                self._set(VcpuState.PAUSED)
                return False
            kvm_async.run(self.fd)
            self._set(VcpuState.RUNNING)
        return True

    def report_stop(self, stop: Stop) -> None:
        """Note that the vCPU runs no more, and tell the machine.

        Args:
            stop: Why.
        """
        self.stop = stop
        self._become(VcpuState.STOPPED)
        # on_stop pauses the other vCPUs, for which it needs the thread that calls this
        threading.Thread(target=self.on_stop, args=(self,), daemon=True).start()
