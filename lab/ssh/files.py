# SPDX-License-Identifier: Apache-2.0
"""Files to and from a host, over one SFTP channel that is opened when first needed and reused."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import paramiko

from lab.deadline import Deadline
from lab.errors import InfraError
from lab.ssh.loss import cut_at, losses

_WRITE_BYTES = 1 << 20
_READ_BYTES = 32768  # the most that one SFTP read brings


class Files:
    """The files of one host. Two threads take turns: an SFTP channel has one conversation.

    Args:
        peer: The host's name, for messages.
        transport: The connection to it.
    """

    def __init__(self, peer: str, transport: paramiko.Transport) -> None:
        self._peer = peer
        self._transport = transport
        self._turn = Lock()
        self._sftp: paramiko.SFTPClient | None = None

    def put(self, source: bytes | Path, remote: str, mode: int, by: Deadline) -> None:
        """Write `source` to `remote`, which has its mode before it has its content.

        Not pipelined: paramiko then forgets the answers to the last writes, and a full disk is
        silent (seen in 5.1.0).
        """
        stream = io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
        with stream, self._talking(f"put {remote}", by) as sftp, sftp.open(remote, "wb") as file:
            file.chmod(mode)
            while chunk := stream.read(_WRITE_BYTES):
                file.write(chunk)

    def get(self, remote: str, by: Deadline) -> bytes:
        """Read `remote` to its end, also where its size is not known, as in /proc."""
        with self._talking(f"get {remote}", by) as sftp, sftp.open(remote, "rb") as file:
            return b"".join(iter(lambda: file.read(_READ_BYTES), b""))

    @contextmanager
    def _talking(self, what: str, by: Deadline) -> Iterator[paramiko.SFTPClient]:
        with self._turn, losses(self._peer, what, by):
            sftp = self._channel(by)
            channel = sftp.get_channel()
            assert channel is not None  # noqa: S101 - an SFTPClient is made of one
            try:
                with cut_at(by, channel):
                    yield sftp
            except (OSError, paramiko.SFTPError) as e:
                if channel.closed or not self._transport.is_active():
                    raise EOFError from e
                raise InfraError(f"{what} on {self._peer}: {_text(e)}") from e
            finally:
                if channel.closed:
                    self._sftp = None

    def _channel(self, by: Deadline) -> paramiko.SFTPClient:
        if self._sftp is None:
            channel = self._transport.open_session(timeout=by.left)
            with cut_at(by, channel):
                channel.invoke_subsystem("sftp")
                self._sftp = paramiko.SFTPClient(channel)
        return self._sftp


def _text(error: BaseException) -> str:
    strerror = error.strerror if isinstance(error, OSError) else None
    return strerror or str(error) or type(error).__name__
