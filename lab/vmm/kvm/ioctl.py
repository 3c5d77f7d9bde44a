# SPDX-License-Identifier: Apache-2.0
"""The only door to ioctl(2): numbers as the kernel makes them, errors with their names."""

from __future__ import annotations

import ctypes
import enum
import os
from collections.abc import Callable

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


def _with_structure(direction: int) -> Callable[[int, int, int], int]:
    """Return what composes a request of the driver's type, a number and the structure's bytes."""
    return lambda kind, number, size: direction << 30 | size << 16 | io(kind, number)


iow = _with_structure(1)  # it goes to the kernel
ior = _with_structure(2)  # it comes from there
iowr = _with_structure(3)  # both


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
