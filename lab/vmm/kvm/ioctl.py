# SPDX-License-Identifier: Apache-2.0
"""The only door to ioctl(2): numbers as the kernel makes them, errors with their names."""

from __future__ import annotations

import ctypes
import enum
import os

_libc = ctypes.CDLL(None, use_errno=True)
raw = _libc.ioctl
raw.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p)
raw.restype = ctypes.c_int


def io(kind: int, number: int) -> int:
    """Compose the number of a request without a structure."""
    return kind << 8 | number


def iow(kind: int, number: int, size: int) -> int:
    """Compose the number of a request that hands a structure to the kernel."""
    return 1 << 30 | size << 16 | io(kind, number)


def ior(kind: int, number: int, size: int) -> int:
    """Compose the number of a request that takes a structure from the kernel."""
    return 2 << 30 | size << 16 | io(kind, number)


def iowr(kind: int, number: int, size: int) -> int:
    """Compose the number of a request whose structure goes both ways."""
    return 3 << 30 | size << 16 | io(kind, number)


def call(fd: int, request: enum.IntEnum, argument: int | ctypes.Structure = 0) -> int:
    """Make the request and return what the kernel returned.

    Raises:
        OSError: The kernel refused; its text begins with the request's name.
    """
    pointer = argument if isinstance(argument, int) else ctypes.addressof(argument)
    result: int = raw(fd, request.value, pointer)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{request.name}: {os.strerror(code)}")
    return result
