# SPDX-License-Identifier: Apache-2.0
"""A kernel and a guest that outlive labvmm, for tests that kill it: all in shared memory."""

from __future__ import annotations

import mmap
import os
import signal
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from lab.vmm.arch.arm64 import board
from lab.vmm.arch.arm64 import driver as arm64
from lab.vmm.arch.x86 import driver as x86
from lab.vmm.devices import console, journal
from lab.vmm.kvm import async_run as kvm_async
from lab.vmm.kvm import common as kvm
from lab.vmm.machine import exits
from lab.vmm.machine.vcpu import EXIT_REASON, UNION

DATA_AT = 4096  # where KVM puts what an x86 port reads or writes
COM1 = 0x3F8
_LOG = 64  # in the world's memory: the position, then answers and levels behind their counts


@dataclass(frozen=True)
class Access:
    """One access of the guest to its serial port: a write of `content`, or a read."""

    register: int
    content: bytes = b""

    def put_x86(self, run: mmap.mmap) -> None:
        """Leave it in kvm_run, as KVM does."""
        count = len(self.content) or 1
        head = (int(bool(self.content)), 1, COM1 + self.register, count, DATA_AT)
        struct.pack_into("=BBHIQ", run, UNION, *head)
        run[DATA_AT : DATA_AT + count] = self.content or b"\xee"
        struct.pack_into("=I", run, EXIT_REASON, kvm.Exit.IO)

    def put_arm64(self, run: mmap.mmap) -> None:
        """Leave it in kvm_run, as KVM does."""
        address, data = board.UART[0] + self.register, self.content.ljust(8, b"\0")
        struct.pack_into("=Q8sIB", run, UNION, address, data, 4, int(bool(self.content)))
        struct.pack_into("=I", run, EXIT_REASON, kvm.Exit.MMIO)

    def answer(self, run: mmap.mmap, *, is_x86: bool) -> int:
        """Read what the guest is told."""
        return run[DATA_AT] if is_x86 else run[UNION + 8]


@dataclass
class World:
    """What the guest did, what it was told, and what its console and interrupt line saw."""

    folder: Path
    script: Sequence[Access]
    is_x86: bool = True
    run: mmap.mmap = field(default_factory=lambda: mmap.mmap(-1, 2 * mmap.PAGESIZE))
    log: mmap.mmap = field(default_factory=lambda: mmap.mmap(-1, 2 * mmap.PAGESIZE))

    def __post_init__(self) -> None:
        self.state = journal.create(1)
        self.console = console.open_file(self.folder / "console")
        os.ftruncate(self.console, 0)
        self._arrive()

    def close(self) -> None:
        """Let go of its files."""
        self.state.pages.close()
        os.close(self.state.fd)
        os.close(self.console)

    @property
    def position(self) -> int:
        """How many accesses were completed."""
        return self.log[0]

    @property
    def answers(self) -> bytes:
        """What the guest was told, a byte each."""
        return self.log[_LOG : _LOG + self.log[1]]

    @property
    def rises(self) -> int:
        """How often the interrupt line went up."""
        levels = self.log[mmap.PAGESIZE : mmap.PAGESIZE + self.log[2]]
        return sum(a < b for a, b in zip(b"\0" + levels, levels, strict=False))

    @property
    def printed(self) -> bytes:
        """What is in the console's file."""
        return (self.folder / "console").read_bytes()

    def irq(self, level: bool) -> None:
        """Set the interrupt line."""
        self.log[mmap.PAGESIZE + self.log[2]] = level
        self.log[2] += 1

    def go_on(self) -> None:
        """Complete the exit, as the kernel does: once, and come to the next."""
        access = self.script[self.position]
        if not access.content:
            self.log[_LOG + self.log[1]] = access.answer(self.run, is_x86=self.is_x86)
            self.log[1] += 1
        self.log[0] += 1
        self._arrive()

    def _arrive(self) -> None:
        if self.position == len(self.script):
            return
        access = self.script[self.position]
        (access.put_x86 if self.is_x86 else access.put_arm64)(self.run)
        state = (self.position + 1, kvm_async.State.PAUSED)
        struct.pack_into("=QI", self.run, kvm_async.PAGE_AT, *state)


def own(world: World) -> None:
    """Be a labvmm: take over what there is, and serve the guest to the end of its script."""
    state = journal.read(world.state.fd, 1)
    write = console.journaled(world.console, state)
    driver: Any
    if world.is_x86:
        driver = x86.X86(-1, -1, write, state.registers)
        driver._serial._set_irq = world.irq
    else:
        driver = arm64.Arm64(-1, -1, write, state.registers)
        driver._uart._set_irq = world.irq
    while world.position < len(world.script):
        stop = exits.serve(0, world.run, driver.exits, state)
        if stop is not None:
            raise AssertionError(stop)
        world.go_on()


def killed_at(line: int, world: World) -> bool:
    """Be a labvmm in a process that dies by SIGKILL before the `line`th line it executes.

    Says whether it lived to the end, because there were not so many.
    """
    child = os.fork()
    if child == 0:
        left = line

        def trace(frame: FrameType, event: str, _: object) -> Any:
            nonlocal left
            if "/lab/vmm/" not in frame.f_code.co_filename and "mutant" not in frame.f_code.co_name:
                return None
            if event in {"line", "return"}:
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        try:
            sys.settrace(trace)
            own(world)
        except BaseException as e:  # noqa: BLE001 - a child of pytest must not go on as one
            os.write(2, f"{e!r}\n".encode())
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return False
    assert os.WEXITSTATUS(status) == 0
    return True
