# SPDX-License-Identifier: Apache-2.0
"""The only user of /dev/liveupdate: sessions that preserve a memfd over a kexec.

Source: Documentation/userspace-api/liveupdate.rst, include/uapi/linux/liveupdate.h.
"""

from __future__ import annotations

import contextlib
import ctypes
import enum
import errno
import json
import os
from collections.abc import Iterator, Mapping

from ..errors import VmmError
from ..kvm.ioctl import call, io

LIVEUPDATE = 0xBA
NAME_LENGTH = 64
DEVICE = "/dev/liveupdate"


class Session(ctypes.Structure):
    """struct liveupdate_ioctl_create_session, and ..._retrieve_session."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("fd", ctypes.c_int32),
        ("name", ctypes.c_char * NAME_LENGTH),
    )


class Token(ctypes.Structure):
    """struct liveupdate_session_preserve_fd, and ..._retrieve_fd."""

    _fields_ = (("size", ctypes.c_uint32), ("fd", ctypes.c_int32), ("token", ctypes.c_uint64))


class Finish(ctypes.Structure):
    """struct liveupdate_session_finish."""

    _fields_ = (("size", ctypes.c_uint32), ("reserved", ctypes.c_uint32))


class Request(enum.IntEnum):
    """ioctl requests; their numbers carry no size."""

    LIVEUPDATE_IOCTL_CREATE_SESSION = io(LIVEUPDATE, 0x00)
    LIVEUPDATE_IOCTL_RETRIEVE_SESSION = io(LIVEUPDATE, 0x01)
    LIVEUPDATE_SESSION_PRESERVE_FD = io(LIVEUPDATE, 0x40)
    LIVEUPDATE_SESSION_RETRIEVE_FD = io(LIVEUPDATE, 0x41)
    LIVEUPDATE_SESSION_FINISH = io(LIVEUPDATE, 0x42)


def open_device() -> int:
    """Open the device; only one process may have it open at a time.

    Returns:
        Its descriptor.

    Raises:
        VmmError: It cannot be opened; EBUSY means that another process has it open.
    """
    try:
        return os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except OSError as e:
        raise VmmError(
            f"'{DEVICE}' cannot be opened: {e.strerror}",
            hint="the kernel needs CONFIG_LIVEUPDATE and 'kho=on liveupdate=on'",
        ) from e


def create(device: int, name: str) -> int:
    """Create a session; until the kexec, it lasts as long as its descriptor is open.

    Args:
        device: The device's descriptor.
        name: 1 to 63 ASCII characters.

    Returns:
        The session's descriptor.

    Raises:
        VmmError: The name is not allowed.
    """
    return _session(device, Request.LIVEUPDATE_IOCTL_CREATE_SESSION, name)


def retrieve(device: int, name: str) -> int:
    """Retrieve a session of the previous kernel; once only.

    Args:
        device: The device's descriptor.
        name: The session's name.

    Returns:
        The session's descriptor.

    Raises:
        VmmError: The name is not allowed.
        OSError: ENOENT: there is no such session; EINVAL: it was retrieved before.
    """
    with _explained(
        {
            errno.ENOENT: f"the kernel before this one left no session '{name}'",
            errno.EINVAL: f"session '{name}' was retrieved before: a session is retrieved once",
        }
    ):
        return _session(device, Request.LIVEUPDATE_IOCTL_RETRIEVE_SESSION, name)


def preserve_fd(session: int, fd: int, token: int) -> None:
    """Preserve a descriptor in a session, under a token.

    Args:
        session: The session's descriptor.
        fd: The descriptor: a memfd, or a resident vCPU.
        token: Any number that is new to the session, 64 bits.
    """
    arguments = Token(size=ctypes.sizeof(Token), fd=fd, token=token)
    call(session, Request.LIVEUPDATE_SESSION_PRESERVE_FD, arguments)


def retrieve_fd(session: int, token: int) -> int:
    """Retrieve a descriptor that the previous kernel preserved.

    Args:
        session: The session's descriptor.
        token: The token under which it was preserved.

    Returns:
        The descriptor.

    Raises:
        OSError: ENOENT: nothing has this token; EALREADY: a vCPU that was retrieved before.
    """
    arguments = Token(size=ctypes.sizeof(Token), fd=-1, token=token)
    with _explained(
        {
            errno.ENOENT: f"the session has nothing under token {token}",
            errno.EALREADY: f"token {token} was retrieved before: a token is retrieved once",
        }
    ):
        call(session, Request.LIVEUPDATE_SESSION_RETRIEVE_FD, arguments)
    return int(arguments.fd)


def finish(session: int) -> None:
    """Finish a session: all of it has been retrieved.

    Args:
        session: The session's descriptor.
    """
    call(session, Request.LIVEUPDATE_SESSION_FINISH, Finish(size=ctypes.sizeof(Finish)))


def in_memfd(content: Mapping[str, object], name: str) -> int:
    """Write JSON into a new memfd, ready to preserve.

    Args:
        content: The object.
        name: The memfd's name.

    Returns:
        The memfd.
    """
    fd = os.memfd_create(name, os.MFD_CLOEXEC)
    os.write(fd, json.dumps(content).encode())
    return fd


@contextlib.contextmanager
def _explained(reasons: Mapping[int, str]) -> Iterator[None]:
    """Add to a refusal what its errno means here, after the name of the request."""
    try:
        yield
    except OSError as e:
        if reason := reasons.get(e.errno or 0):
            request = str(e.strerror).partition(":")[0]
            raise OSError(e.errno, f"{request}: {reason}") from e
        raise


def _session(device: int, request: Request, name: str) -> int:
    if not name.isascii() or not 0 < len(name) < NAME_LENGTH:
        raise VmmError(f"session name '{name}': 1 to {NAME_LENGTH - 1} ASCII characters")
    arguments = Session(size=ctypes.sizeof(Session), fd=-1, name=name.encode())
    call(device, request, arguments)
    return int(arguments.fd)
