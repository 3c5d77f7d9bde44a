# SPDX-License-Identifier: Apache-2.0
"""The only user of /dev/caretaker: vCPUs resident on CPUs that Linux has offlined."""

from __future__ import annotations

import ctypes
import enum
import os
from typing import NamedTuple

from ..errors import VmmError
from ..kvm.ioctl import call, io, ior, iow
from .vcpu_record import Record
from .vcpu_record import parse as parse_record

CARETAKER = 0xCA
DEVICE = "/dev/caretaker"
REGIONS = 4
NAMES = ("NONE", "RUNNING", "PARKED", "STOPPED")
STOP_REQUESTED = 0x60  # the processor's exit code of a vCPU that was asked to stop


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


class VcpuStatus(NamedTuple):
    """What the caretaker reports of a vCPU, without disturbing it."""

    state: str
    cpu: int
    entries: int
    exit: str
    pc: str


def move_in(record: Record, memory: int, size: int, cpu: int, members: int) -> int:
    """Make a vCPU resident on an offline CPU; it runs once all `members` of its guest are.

    Args:
        record: The vCPU's state.
        memory: The descriptor of the guest's RAM.
        size: Bytes of RAM, from guest-physical address 0.
        cpu: The CPU's number in Linux.
        members: How many vCPUs the guest has.

    Returns:
        The descriptor of the resident vCPU; the vCPU stops when it is closed.

    Raises:
        VmmError: This host has no caretaker.
        OSError: The caretaker refused; ENODEV: the host is not swallowed.
    """
    try:
        fd = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except OSError as e:
        raise VmmError(
            f"'{DEVICE}' cannot be opened: {e.strerror}",
            hint="the kernel needs CONFIG_CARETAKER and 'caretaker=ready' or '=on'",
        ) from e
    arguments = Reside(record=ctypes.addressof(record), memory=memory, cpu=cpu, nregions=1)
    arguments.members = members
    arguments.regions[0].size = size
    try:
        call(fd, Request.CARETAKER_RESIDE, arguments)
    except OSError:
        os.close(fd)
        raise
    return fd


def stop(fd: int) -> None:
    """Take a vCPU off its CPU, which Linux gets back.

    Args:
        fd: The resident vCPU's descriptor.
    """
    call(fd, Request.CARETAKER_STOP)


def record(fd: int) -> Record:
    """Read the state of a vCPU that has been stopped.

    Args:
        fd: The resident vCPU's descriptor.

    Returns:
        Its state.

    Raises:
        VmmError: What was read is no record, or one of another version.
    """
    return parse_record(os.pread(fd, ctypes.sizeof(Record), 0))


def status(fd: int) -> VcpuStatus:
    """Read a vCPU's status, whether it runs or not.

    Args:
        fd: The resident vCPU's descriptor.

    Returns:
        Its status.
    """
    state = State()
    call(fd, Request.CARETAKER_STATE, state)
    why = "none" if state.exit_code == STOP_REQUESTED else f"SVM exit {state.exit_code:#x}"
    return VcpuStatus(NAMES[state.state], state.cpu, state.entries, why, f"{state.rip:#x}")
