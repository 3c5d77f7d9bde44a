# SPDX-License-Identifier: Apache-2.0
"""Device state and the exits served, in a memfd that outlives the VMM; changed in one stroke.

A VMM can be killed at any instruction. What it has in hand is private, and becomes true by
`commit`: the whole of it is written to the copy that no adopter reads, and then one byte makes
that copy the one to read. So the state that an adopter finds has all of an exit or nothing of it.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct

from ..errors import VmmError
from .serial import STATE_BYTES

MAGIC = b"LABVMMST"
VERSION = 2
INDEX_AT = 64  # one byte: which of the two copies is true
HANDED_OVER_AT = 65  # one byte: whether the vCPUs run elsewhere, and must not be run from here
COPIES_AT = 128
NAME = "labvmm-state"
_HEAD = struct.Struct("=8s4I")  # magic, version, vCPUs, bytes of registers, bytes of a copy


class Journal:
    """One guest's state: registers of its serial port, console offset, exits served.

    Args:
        fd: The memfd.
        vcpus: How many vCPUs the state is for.
    """

    def __init__(self, fd: int, vcpus: int) -> None:
        self.fd = fd
        self.pages = mmap.mmap(fd, os.fstat(fd).st_size, mmap.MAP_SHARED)
        self._copy = _copy_of(vcpus)
        at = COPIES_AT + self.pages[INDEX_AT] * self._copy.size
        console_at, registers, *served = self._copy.unpack_from(self.pages, at)
        self.registers = bytearray(registers)
        self.console_at: int = console_at  # where in its file the next byte goes
        self.served: list[int] = served  # the number of each vCPU's last exit that was served

    @property
    def handed_over(self) -> bool:
        """Whether the vCPUs run elsewhere: an adopter of the VM would run them a second time."""
        return bool(self.pages[HANDED_OVER_AT])

    @handed_over.setter
    def handed_over(self, handed_over: bool) -> None:
        self.pages[HANDED_OVER_AT] = handed_over

    def commit(self, vcpu: int, exit_seq: int) -> None:
        """Make the state in hand true, and with it that an exit was served.

        Args:
            vcpu: The vCPU's index.
            exit_seq: The number of its exit.
        """
        self.served[vcpu] = exit_seq
        self.write()

    def write(self) -> None:
        """Make the state in hand true."""
        other = 1 - self.pages[INDEX_AT]
        self._copy.pack_into(
            self.pages,
            COPIES_AT + other * self._copy.size,
            self.console_at,
            bytes(self.registers),
            *self.served,
        )
        self.pages[INDEX_AT] = other  # a single store


def create(vcpus: int, console_at: int = 0) -> Journal:
    """Make the state of a guest that has done nothing yet.

    Args:
        vcpus: How many vCPUs it has.
        console_at: Where in the console file its output begins, in bytes.

    Returns:
        The journal, in a sealed memfd of its own.
    """
    fd = os.memfd_create(NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    copy = _copy_of(vcpus)
    os.ftruncate(fd, COPIES_AT + 2 * copy.size)
    # a holder that cut it short would kill its next owner by SIGBUS
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    os.pwrite(fd, _HEAD.pack(MAGIC, VERSION, vcpus, STATE_BYTES, copy.size), 0)
    journal = Journal(fd, vcpus)
    journal.console_at = console_at
    journal.write()
    return journal


def read(fd: int, vcpus: int) -> Journal:
    """Take over the state of a guest.

    Args:
        fd: The memfd that another labvmm made.
        vcpus: How many vCPUs the guest has.

    Returns:
        The journal, as its last owner committed it.

    Raises:
        VmmError: The memfd has no such state, another version, or one of another shape.
    """
    copy = _copy_of(vcpus)
    head = os.pread(fd, _HEAD.size, 0)
    if len(head) < _HEAD.size or not head.startswith(MAGIC):
        raise VmmError("the descriptor 'state' has no device state of labvmm's")
    _, version, *shape = _HEAD.unpack(head)
    if version != VERSION:
        raise VmmError(f"the device state is of version {version}; this labvmm knows {VERSION}")
    if shape != [vcpus, STATE_BYTES, copy.size] or os.fstat(fd).st_size < _end(copy):
        raise VmmError(
            f"the device state is for {shape[0]} vCPUs with {shape[1]} bytes of registers, "
            f"not for {vcpus} with {STATE_BYTES}"
        )
    return Journal(fd, vcpus)


def _copy_of(vcpus: int) -> struct.Struct:
    return struct.Struct(f"=Q{STATE_BYTES}s{vcpus}Q")


def _end(copy: struct.Struct) -> int:
    return COPIES_AT + 2 * copy.size
