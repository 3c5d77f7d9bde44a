# SPDX-License-Identifier: Apache-2.0
"""The only user of /dev/caretaker: vCPUs that live on CPUs which no kernel runs on."""

from __future__ import annotations

import ctypes
import enum
import os
from typing import NamedTuple

from ..errors import VmmError
from ..kvm.ioctl import call, io, ior, iow
from .vcpu_record import Record
from .vcpu_record import read as understood

CARETAKER = 0xCA
DEVICE = "/dev/caretaker"
REGIONS = 4
NAMES = ("NONE", "RUNNING", "PARKED", "STOPPED")
ASKED = 0x60  # the processor's exit code of a vCPU that was asked to stop


class Region(ctypes.Structure):
    """struct caretaker_region."""

    _fields_ = (
        ("gpa", ctypes.c_uint64),
        ("offset", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
    )


class Reside(ctypes.Structure):
    """struct caretaker_reside."""

    _fields_ = (
        ("record", ctypes.c_uint64),
        ("memory", ctypes.c_int32),
        ("cpu", ctypes.c_uint32),
        ("nregions", ctypes.c_uint32),
        ("members", ctypes.c_uint32),
        ("regions", Region * REGIONS),
    )


class State(ctypes.Structure):
    """struct caretaker_state."""

    _fields_ = (
        ("state", ctypes.c_uint32),
        ("cpu", ctypes.c_uint32),
        ("entries", ctypes.c_uint64),
        ("exit_code", ctypes.c_uint64),
        ("exit_info_1", ctypes.c_uint64),
        ("exit_info_2", ctypes.c_uint64),
        ("rip", ctypes.c_uint64),
    )


class Request(enum.IntEnum):
    """ioctl requests."""

    CARETAKER_RESIDE = iow(CARETAKER, 0x60, ctypes.sizeof(Reside))
    CARETAKER_STOP = io(CARETAKER, 0x61)
    CARETAKER_STATE = ior(CARETAKER, 0x62, ctypes.sizeof(State))


class Seen(NamedTuple):
    """What the caretaker says of a vCPU, without disturbing it."""

    state: str
    cpu: int
    entries: int
    exit: str
    pc: str


def move_in(record: Record, memory: int, size: int, cpu: int, members: int) -> int:
    """Have a vCPU live on a CPU that Linux gives away; give the descriptor that it hangs on.

    It runs as soon as all `members` of its guest are there.

    Raises:
        VmmError: This host has no caretaker.
        OSError: It was refused; ENODEV: the host is not swallowed.
    """
    try:
        fd = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except OSError as e:
        raise VmmError(
            f"'{DEVICE}' cannot be opened: {e.strerror}",
            hint="the kernel needs CONFIG_CARETAKER and 'caretaker=ready' or '=on'",
        ) from e
    asked = Reside(record=ctypes.addressof(record), memory=memory, cpu=cpu, nregions=1)
    asked.members = members
    asked.regions[0].size = size
    try:
        call(fd, Request.CARETAKER_RESIDE, asked)
    except OSError:
        os.close(fd)
        raise
    return fd


def stop(fd: int) -> None:
    """Take it off its CPU, which Linux gets back."""
    call(fd, Request.CARETAKER_STOP)


def record(fd: int) -> Record:
    """Give what a vCPU is that has been stopped."""
    return understood(os.pread(fd, ctypes.sizeof(Record), 0))


def seen(fd: int) -> Seen:
    """Look at it."""
    state = State()
    call(fd, Request.CARETAKER_STATE, state)
    why = "none" if state.exit_code == ASKED else f"SVM exit {state.exit_code:#x}"
    return Seen(NAMES[state.state], state.cpu, state.entries, why, f"{state.rip:#x}")
