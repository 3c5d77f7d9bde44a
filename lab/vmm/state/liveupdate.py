# SPDX-License-Identifier: Apache-2.0
"""The only user of /dev/liveupdate: sessions that keep a memfd over a kexec."""

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

    Raises:
        VmmError: It cannot be opened; EBUSY means that somebody else has it.
    """
    try:
        return os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except OSError as e:
        raise VmmError(
            f"'{DEVICE}' cannot be opened: {e.strerror}",
            hint="the kernel needs CONFIG_LIVEUPDATE and 'kho=on liveupdate=on'",
        ) from e


def create(device: int, name: str) -> int:
    """Create a session; it lasts, before the kexec, as long as this descriptor is open."""
    return _session(device, Request.LIVEUPDATE_IOCTL_CREATE_SESSION, name)


def retrieve(device: int, name: str) -> int:
    """Get a session of the kernel before; once only.

    Raises:
        OSError: There is none of that name, or somebody had it already.
    """
    with _said(
        {
            errno.ENOENT: f"the kernel before this one left no session '{name}'",
            errno.EINVAL: f"session '{name}' was retrieved before: it is given once",
        }
    ):
        return _session(device, Request.LIVEUPDATE_IOCTL_RETRIEVE_SESSION, name)


def preserve_fd(session: int, fd: int, token: int) -> None:
    """Put a descriptor into a session under a token."""
    asked = Token(size=ctypes.sizeof(Token), fd=fd, token=token)
    call(session, Request.LIVEUPDATE_SESSION_PRESERVE_FD, asked)


def retrieve_fd(session: int, token: int) -> int:
    """Get the descriptor that was put there by the kernel before.

    Raises:
        OSError: There is none; or it is a vCPU, and somebody had it already.
    """
    asked = Token(size=ctypes.sizeof(Token), fd=-1, token=token)
    with _said(
        {
            errno.ENOENT: f"the session has nothing under token {token}",
            errno.EALREADY: f"what is under token {token} was retrieved before: it is given once",
        }
    ):
        call(session, Request.LIVEUPDATE_SESSION_RETRIEVE_FD, asked)
    return int(asked.fd)


def finish(session: int) -> None:
    """Say that all of the session has been taken over."""
    call(session, Request.LIVEUPDATE_SESSION_FINISH, Finish(size=ctypes.sizeof(Finish)))


def in_memfd(said: Mapping[str, object], name: str) -> int:
    """Put words into a memfd of their own, to be preserved."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC)
    os.write(fd, json.dumps(said).encode())
    return fd


@contextlib.contextmanager
def _said(reasons: Mapping[int, str]) -> Iterator[None]:
    """Have a refusal say what its number means here, after the name of the request."""
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
    asked = Session(size=ctypes.sizeof(Session), fd=-1, name=name.encode())
    call(device, request, asked)
    return int(asked.fd)
