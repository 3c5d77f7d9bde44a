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
    """Compose the number of a request without a structure.

    Args:
        kind: The type of the driver.
        number: The request's number there.

    Returns:
        The request, as `_IO` makes it.
    """
    return kind << 8 | number


def iow(kind: int, number: int, size: int) -> int:
    """Compose the number of a request that passes a structure to the kernel.

    Args:
        kind: The type of the driver.
        number: The request's number there.
        size: Bytes of the structure.

    Returns:
        The request, as `_IOW` makes it.
    """
    return 1 << 30 | size << 16 | io(kind, number)


def ior(kind: int, number: int, size: int) -> int:
    """Compose the number of a request that reads a structure from the kernel.

    Args:
        kind: The type of the driver.
        number: The request's number there.
        size: Bytes of the structure.

    Returns:
        The request, as `_IOR` makes it.
    """
    return 2 << 30 | size << 16 | io(kind, number)


def iowr(kind: int, number: int, size: int) -> int:
    """Compose the number of a request whose structure goes both ways.

    Args:
        kind: The type of the driver.
        number: The request's number there.
        size: Bytes of the structure.

    Returns:
        The request, as `_IOWR` makes it.
    """
    return 3 << 30 | size << 16 | io(kind, number)


def call(fd: int, request: enum.IntEnum, argument: int | ctypes.Structure = 0) -> int:
    """Make a request.

    Args:
        fd: The descriptor of the device, VM or vCPU.
        request: The request; its name begins the error's text.
        argument: A number, or a structure, which the kernel may change.

    Returns:
        What the kernel returned, not negative.

    Raises:
        OSError: The kernel refused the request.
    """
    pointer = argument if isinstance(argument, int) else ctypes.addressof(argument)
    result: int = raw(fd, request.value, pointer)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{request.name}: {os.strerror(code)}")
    return result
