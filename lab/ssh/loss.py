# SPDX-License-Identifier: Apache-2.0
"""However a connection dies, it is one error. Paramiko has at least five ways."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

import paramiko

from lab.deadline import Deadline
from lab.errors import InfraError, UnreachableError

# TimeoutError and all resets are OSErrors; a channel that is cut raises SSHException or EOFError.
LOSSES = (EOFError, OSError, paramiko.SSHException)


class Loss(StrEnum):
    """How the other side of a connection went away."""

    CLOSED = "closed by the other side"
    RESET = "reset by the other side"
    SILENT = "no answer in time"
    BROKEN = "the connection broke"


def loss_of(error: BaseException, by: Deadline) -> Loss:
    """Return how the other side of a connection went away.

    Args:
        error: What ended an action.
        by: When the action was due.

    Returns:
        The kind of loss.
    """
    if by.left == 0 or isinstance(error, TimeoutError):
        return Loss.SILENT
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return Loss.RESET
    if isinstance(error, EOFError):
        return Loss.CLOSED
    return Loss.BROKEN


@contextmanager
def losses(peer: str, during: str, by: Deadline) -> Iterator[None]:
    """Turn every death of a connection into an UnreachableError.

    Args:
        peer: The host's name.
        during: What is under way, for the message.
        by: When it is due.

    Raises:
        UnreachableError: The connection died; the message says what was under way.
        InfraError: The connection lives, but the host opened no channel.
    """
    try:
        yield
    except paramiko.ChannelException as e:
        raise InfraError(f"{peer} opened no channel for: {during} ({e.text})") from e
    except LOSSES as e:
        loss = loss_of(e, by)
        detail = f": {e}" if loss is Loss.BROKEN else ""
        raise UnreachableError(f"lost {peer} during: {during} ({loss}{detail})") from e


@contextmanager
def cut_at(by: Deadline, channel: paramiko.Channel) -> Iterator[None]:
    """Close a channel when `by` passes, which wakes every thread that waits on it.

    Some of paramiko's waits (a request's reply, the exit status) take no timeout of their own.

    Args:
        by: When.
        channel: The channel.
    """
    timer = threading.Timer(by.left, channel.close)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
