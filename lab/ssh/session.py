# SPDX-License-Identifier: Apache-2.0
"""Commands on a host. Each is sent once, never again, and its outcome is returned."""

from __future__ import annotations

import io
import shlex
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import paramiko

from lab.deadline import Deadline
from lab.errors import InfraError
from lab.ssh.files import Files
from lab.ssh.loss import cut_at, losses
from lab.ssh.reach import Door, reach

COMMAND_S = 60.0
_STDERR_LINES = 6

# $1 is the log, the rest the command. setsid leads no group here, so it does not fork: $! is it.
_DETACH = """
log=$1; shift
command -v "$1" >/dev/null || { echo "there is no program '$1'" >&2; exit 127; }
: >>"$log" || exit
setsid "$@" </dev/null >>"$log" 2>&1 &
echo $!
"""


@dataclass(frozen=True, slots=True)
class Result:
    """What a command did; a status above 128 is 128 plus the signal that killed it."""

    command: str
    status: int
    stdout: str
    stderr: str


class Session:
    """An open connection to one host, for any number of commands from any thread.

    Args:
        peer: The host's name, for messages.
        transport: The connection to it.
    """

    def __init__(self, peer: str, transport: paramiko.Transport) -> None:
        self.peer = peer
        self._transport = transport
        self._files = Files(peer, transport)

    @classmethod
    def open(  # noqa: PLR0917 - in the order of an ssh command line
        cls,
        peer: str,
        host: str,
        port: int,
        host_key_line: str,
        private_key_pem: str,
        by: Deadline,
    ) -> Self:
        """Connect to `peer` as root, once its sshd answers, and only if it shows its own host key.

        Args:
            peer: The host's name, for messages.
            host: The address of its sshd.
            port: The port of its sshd.
            host_key_line: Its public host key, `<type> <base64>`.
            private_key_pem: The private key that opens it, in OpenSSH's form.
            by: When to give up.

        Returns:
            The session.

        Raises:
            DeadlineError: No sshd answered by `by`.
            InfraError: Another host key was shown, or the private key was refused; not retried.
        """
        key = paramiko.Ed25519Key(file_obj=io.StringIO(private_key_pem))
        door = Door(peer=peer, host=host, port=port, host_key_line=host_key_line, key=key)
        return cls(peer, reach(door, by))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up; a command that still runs over this session ends as UnreachableError."""
        self._transport.close()
        self._transport.join(COMMAND_S)

    def run(
        self,
        argv: Sequence[str],
        *,
        by: Deadline | None = None,
        timeout_s: float = COMMAND_S,
        stdin: bytes = b"",
        cwd: str | None = None,
    ) -> Result:
        """Run `argv` and return its outcome, whatever its status.

        Args:
            argv: The program and its arguments; no shell looks at them.
            by: When to give up; without it, `timeout_s` from now.
            timeout_s: Seconds to wait when there is no `by`.
            stdin: What the program reads.
            cwd: Where it runs.

        Returns:
            Its status, stdout and stderr.

        Raises:
            UnreachableError: The connection died, or nothing came in time; the command may or may
                not have run, and may still run.
        """
        by = by or Deadline.after(timeout_s)
        command = shlex.join(argv)
        with losses(self.peer, command, by):
            status, stdout, stderr = self._exchange(argv, stdin, cwd, by)
        return Result(command, status, stdout, stderr)

    def check(
        self,
        argv: Sequence[str],
        *,
        by: Deadline | None = None,
        timeout_s: float = COMMAND_S,
        stdin: bytes = b"",
        cwd: str | None = None,
    ) -> str:
        """Run `argv`, which must succeed.

        Args:
            argv: The program and its arguments; no shell looks at them.
            by: When to give up; without it, `timeout_s` from now.
            timeout_s: Seconds to wait when there is no `by`.
            stdin: What the program reads.
            cwd: Where it runs.

        Returns:
            Its stdout.

        Raises:
            UnreachableError: As for `run`.
            InfraError: Its status was not 0; the message has the last lines of its stderr.
        """
        result = self.run(argv, by=by, timeout_s=timeout_s, stdin=stdin, cwd=cwd)
        if result.status != 0:
            raise InfraError(self._complaint(result.command, result.status, result.stderr))
        return result.stdout

    def spawn(
        self,
        argv: Sequence[str],
        log: str,
        env: Mapping[str, str] | None = None,
        *,
        by: Deadline | None = None,
    ) -> int:
        """Start `argv` in a session of its own.

        It outlives this connection. That it started is certain, that it stays is not.

        Args:
            argv: The program and its arguments.
            log: The file on the host that its output is appended to.
            env: Variables to set for it.
            by: When to give up; without it, a minute from now.

        Returns:
            Its pid.

        Raises:
            InfraError: There is no such program, or the log cannot be written.
        """
        settings = [f"{name}={value}" for name, value in (env or {}).items()]
        program = ["env", *settings, *argv] if settings else list(argv)
        return int(self.check(["sh", "-c", _DETACH, "spawn", log, *program], by=by))

    def put(
        self,
        source: bytes | Path,
        remote: str,
        mode: int = 0o644,
        *,
        by: Deadline | None = None,
        timeout_s: float = COMMAND_S,
    ) -> None:
        """Write a file on the host.

        Args:
            source: The content, or a file here that has it.
            remote: The path there.
            mode: Its mode, set before it has content.
            by: When to give up; without it, `timeout_s` from now.
            timeout_s: Seconds to wait when there is no `by`.

        Raises:
            UnreachableError: The connection died; the file may be there in part.
            InfraError: The host refused to write it.
        """
        self._files.put(source, remote, mode, by or Deadline.after(timeout_s))

    def get(
        self, remote: str, *, by: Deadline | None = None, timeout_s: float = COMMAND_S
    ) -> bytes:
        """Read a file of the host.

        Args:
            remote: The path there.
            by: When to give up; without it, `timeout_s` from now.
            timeout_s: Seconds to wait when there is no `by`.

        Returns:
            Its content.

        Raises:
            UnreachableError: The connection died.
            InfraError: There is no such file, or it cannot be read.
        """
        return self._files.get(remote, by or Deadline.after(timeout_s))

    def _exchange(
        self, argv: Sequence[str], stdin: bytes, cwd: str | None, by: Deadline
    ) -> tuple[int, str, str]:
        """Run a command and drain it on both sides at once, or one full pipe would stop it."""
        placed = ["env", "-C", cwd, *argv] if cwd is not None else argv
        channel = self._transport.open_session(timeout=by.left)
        with ThreadPoolExecutor(2, "ssh") as hands, closing(channel), cut_at(by, channel):
            # The shell must stay to turn death by signal into a status: paramiko drops signals.
            channel.exec_command(f"{shlex.join(placed)}; exit $?")
            hands.submit(_feed, channel, stdin)
            errors = hands.submit(_drain, channel.recv_stderr)
            stdout, stderr = _drain(channel.recv), errors.result()
            status = channel.recv_exit_status()
        if status == -1:  # paramiko's way of saying that the channel died
            raise self._transport.get_exception() or EOFError()
        return status, stdout, stderr

    def _complaint(self, command: str, status: int, stderr: str) -> str:
        last = "\n".join(stderr.strip().splitlines()[-_STDERR_LINES:])
        return f"'{command}' on {self.peer} ended with {status}: {last or 'stderr is empty'}"


def _drain(receive: Callable[[int], bytes]) -> str:
    return b"".join(iter(lambda: receive(65536), b"")).decode(errors="replace")


def _feed(channel: paramiko.Channel, stdin: bytes) -> None:
    with suppress(OSError):  # a command may end without having read it all; its status decides
        channel.sendall(stdin)
        channel.shutdown_write()
