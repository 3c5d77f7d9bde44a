# SPDX-License-Identifier: Apache-2.0
"""One guest: a VM, its RAM, its vCPUs, and what may be asked of them together."""

from __future__ import annotations

import os
import platform
import resource
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from .. import procfs
from ..devices.journal import Journal
from ..errors import VmmError
from ..kvm import async_run as kvm_async
from ..kvm import common as kvm
from . import memory
from .driver import Driver
from .exits import ExitServer
from .memory import Ram
from .vcpu import KICK, AnyVcpu, Stop, VcpuState


class Orphanable(NamedTuple):
    """What a guest has that outlives its VMM."""

    exits: ExitServer
    journal: Journal
    console: int
    policy: str
    keeper: Path | None


class Machine:
    """A guest that exists; it runs from `start` on.

    Args:
        vm: The VM's descriptor.
        ram: Its RAM.
        driver: Its architecture's devices and exits.
        vcpus: Its vCPUs, by index.
        console: The file of its serial output.
        protected: Whether the host cannot read its RAM.
        orphanable: What outlives this process; None for a guest that dies with it.
    """

    def __init__(
        self,
        vm: int,
        ram: Ram,
        driver: Driver,
        vcpus: Sequence[AnyVcpu],
        *,
        console: Path,
        protected: bool = False,
        orphanable: Orphanable | None = None,
    ) -> None:
        self.vm = vm
        self.ram = ram
        self.vcpus = vcpus
        self.orphanable = orphanable
        self.console = console
        self.protected = protected
        self.driver = driver
        self.ended = threading.Event()
        self.stop: Stop | None = None
        self.released = False
        self.handed_over = False  # to the caretaker: its vCPUs run elsewhere
        self._paused = False
        self._lock = threading.Lock()
        self._started_ns = 0

    def start(self, *, paused: bool = False) -> None:
        """Run all vCPUs.

        Args:
            paused: Start them paused; for a guest that can be orphaned.
        """
        signal.signal(KICK, lambda *_: None)  # it only has to interrupt KVM_RUN
        self._started_ns = time.monotonic_ns()
        for vcpu in self.vcpus:
            vcpu.on_stop = self._vcpu_stopped
        if self.orphanable:
            self.orphanable.exits.start()
        if paused:
            self._paused = True
            for vcpu in self.vcpus:
                vcpu.request_pause()
        for vcpu in self.vcpus:
            vcpu.start()

    def pause(self) -> None:
        """Take all vCPUs out of the guest.

        Raises:
            VmmError: A vCPU did not leave the guest in time.
        """
        with self._lock:
            self._paused = True
            late = [v.index for v in self.vcpus if not v.pause()]
        if late:
            raise VmmError(f"vCPUs {late} did not leave the guest")

    def resume(self) -> None:
        """Let all vCPUs enter the guest again; a machine that stopped stays stopped.

        Raises:
            VmmError: The guest has stopped, or runs elsewhere.
        """
        with self._lock:
            if self.stop:
                raise VmmError(f"the guest has stopped: {self.stop.reason}")
            if self.handed_over:
                raise VmmError("the guest was handed over: resumed, it would run twice")
            self._paused = False
            for vcpu in self.vcpus:
                vcpu.resume()

    def release(self) -> None:
        """Release the guest to its next adopter; it runs on meanwhile.

        Raises:
            VmmError: The guest would die with this process.
        """
        if not self.orphanable:
            raise VmmError("this guest dies with its VMM", hint="labvmm run --orphanable")
        self.orphanable.exits.close()
        kvm_async.release(self.vm)
        self.released = True

    def registers(self) -> list[dict[str, str]]:
        """Read all vCPUs' registers.

        Returns:
            Hexadecimal values by name, for each vCPU by index.

        Raises:
            VmmError: A vCPU runs, and KVM would make the reader wait for ever.
        """
        if any(v.state not in {VcpuState.PAUSED, VcpuState.STOPPED} for v in self.vcpus):
            raise VmmError("the guest is running", hint="pause it first: labvmm ctl pause")
        return [self.driver.registers(v.fd) for v in self.vcpus]

    def try_memslot(self) -> dict[str, str]:
        """Add a page of memory far from the guest's, and delete it.

        Returns:
            KVM's answers to "create" and "delete": "ok" or an errno's name.
        """
        return memory.try_slot(self.vm, self.ram.base + (self.ram.size << 1))

    def fds(self) -> dict[str, int]:
        """List the descriptors that another process may get.

        Returns:
            The descriptors by name: "vm", "ram", "vcpu0" and so on.
        """
        named = {"vm": self.vm, "ram": self.ram.fd, **{f"vcpu{v.index}": v.fd for v in self.vcpus}}
        if self.orphanable:
            named |= {"state": self.orphanable.journal.fd, "console": self.orphanable.console}
        return {**named, **self.driver.fds()}

    @property
    def state(self) -> str:
        """The guest's state: stopped, handed-over, released, paused or running."""
        if self.stop:
            return "stopped"
        if self.handed_over:
            return "handed-over"
        if self.released:
            return "released"
        return "paused" if self._paused else "running"

    def status(self) -> dict[str, object]:
        """Describe the guest without disturbing it.

        Returns:
            The answer of `labvmm ctl status`; times are nanoseconds, sizes bytes.
        """
        return {
            "state": self.state,
            "stop": self.stop._asdict() if self.stop else None,
            "pid": os.getpid(),
            "start_time": procfs.start_time(os.getpid()),
            "arch": platform.machine(),
            "running_ns": time.monotonic_ns() - self._started_ns,
            "console": str(self.console),
            "memory": {
                "kind": self.ram.kind.value,
                "size": self.ram.size,
                "protected": self.protected,
                "lock_limit": resource.getrlimit(resource.RLIMIT_MEMLOCK)[0],
                "regions": [
                    {
                        "gpa": self.ram.base,
                        "size": self.ram.size,
                        "offset": 0,
                        "hva": self.ram.address,
                    }
                ],
            },
            "vcpus": [_vcpu_status(v) for v in self.vcpus],
            "no_device": self.driver.unclaimed_accesses(),
            "orphanable": self._orphanable_status(),
        }

    def _orphanable_status(self) -> dict[str, object] | None:
        if not self.orphanable:
            return None
        keeper = self.orphanable.keeper
        return {
            "policy": self.orphanable.policy,
            "generation": kvm_async.ownership(self.vm).generation,
            "keeper": str(keeper) if keeper else None,
            "served": list(self.orphanable.journal.served),
            "console_at": self.orphanable.journal.console_at,
        }

    def _vcpu_stopped(self, vcpu: AnyVcpu) -> None:
        stop = vcpu.stop or Stop("broken", "stopped without a reason")
        if stop.kind != "reset":
            try:
                stop = stop._replace(pc=self.driver.registers(vcpu.fd)["pc"])
            except OSError as e:
                stop = stop._replace(pc=f"unreadable: {e.strerror}")
        vcpu.stop = stop
        self.stop = self.stop or stop
        if stop.kind == "reset":
            self.ended.set()
            return
        with self._lock:
            for other in self.vcpus:
                other.pause()


def _vcpu_status(vcpu: AnyVcpu) -> dict[str, object]:
    return {
        "index": vcpu.index,
        "state": vcpu.state.value,
        "tid": vcpu.tid,
        "interrupted": vcpu.interrupted,
        "exits": {kvm.exit_name(reason): n for reason, n in sorted(vcpu.exits.items())},
        "stop": vcpu.stop._asdict() if vcpu.stop else None,
    }
