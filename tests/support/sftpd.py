# SPDX-License-Identifier: Apache-2.0
"""The file side of the SSH tests' server: real files of this machine, through paramiko's SFTP."""

from __future__ import annotations

import os
from pathlib import Path

import paramiko
from typing_extensions import Buffer


class RealFiles(paramiko.SFTPServerInterface):
    """Open, read, write and change modes, as any SFTP server does."""

    def open(
        self, path: str, flags: int, attr: paramiko.SFTPAttributes
    ) -> paramiko.SFTPHandle | int:
        """Open a file for reading or for writing, not for both."""
        try:
            descriptor = os.open(path, flags, 0o600)
            binary = "wb" if flags & os.O_WRONLY else "rb"
            file = os.fdopen(descriptor, binary, buffering=0)
        except OSError as e:
            return _code(e)
        handle = _Handle(flags)
        handle.filename = path
        if flags & os.O_WRONLY:
            handle.writefile = file  # type: ignore[attr-defined]
        else:
            handle.readfile = file  # type: ignore[attr-defined]
        return handle


class _Handle(paramiko.SFTPHandle):
    filename: str

    def write(self, offset: int, data: Buffer) -> int:
        try:
            return super().write(offset, data)
        except OSError as e:  # a full disk shows at the unbuffered write
            return _code(e)

    def stat(self) -> paramiko.SFTPAttributes | int:
        return paramiko.SFTPAttributes.from_stat(Path(self.filename).stat())

    def chattr(self, attr: paramiko.SFTPAttributes) -> int:
        try:
            paramiko.SFTPServer.set_file_attr(self.filename, attr)
        except OSError as e:
            return _code(e)
        return paramiko.sftp.SFTP_OK


def _code(error: OSError) -> int:
    return paramiko.SFTPServer.convert_errno(error.errno or 0)
