# SPDX-License-Identifier: Apache-2.0
"""A real SSH server on loopback, in this process: the host that the SSH tests talk to.

It runs what it is told for real, and keeps real files; or it goes away, in the ways hosts do.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from io import StringIO
from typing import IO

import paramiko

from lab.deadline import Deadline
from lab.ssh.keys import KeyPair, new_key
from lab.ssh.session import Session
from tests.support.sftpd import RealFiles

PATIENCE_S = 10.0


class Act(Enum):
    """What the host does with a command."""

    RUN = auto()
    CLOSE_BEFORE = auto()  # the connection ends before the command is taken
    CLOSE_AFTER = auto()  # ... or after, with no status
    RESET = auto()
    FALL_SILENT = auto()  # the connection stays, and nothing ever comes again


Script = Callable[[str], Act]


def runs_all(_command: str) -> Act:
    return Act.RUN


@dataclass
class Host:
    """A served address, what must be known to get in, and what was asked of it."""

    script: Script = runs_all
    port: int = 0
    host_key: KeyPair = field(default_factory=new_key)
    user_key: KeyPair = field(default_factory=new_key)
    connections: int = 0
    commands: list[str] = field(default_factory=list)
    lines: list[_Transport] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def session(self, *, seconds: float = PATIENCE_S) -> Session:
        """Open a session as the lab does, with what this host is known by."""
        return Session.open(
            "l1-a",
            "127.0.0.1",
            self.port,
            host_key_line=self.host_key.public_line,
            private_key_pem=self.user_key.private_pem,
            by=Deadline.after(seconds),
        )

    def hang_up(self) -> None:
        """End every connection."""
        for line in self.lines:
            line.hang_up()


class _Transport(paramiko.Transport):
    """A server's transport that tells when it has said yes to a request.

    paramiko sends that yes only after `check_channel_exec_request` returns, so a thread started
    there can answer, and hang up, before it: the client then sees a dead machine.
    """

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.wire = sock
        self.said_yes = threading.Event()

    def hang_up(self) -> None:
        """End politely: closing with something unread would reset the connection instead."""
        with suppress(OSError):
            self.wire.shutdown(socket.SHUT_WR)
        self.join(PATIENCE_S)

    def _send_user_message(self, data: paramiko.Message) -> None:
        super()._send_user_message(data)  # type: ignore[misc]
        if data.asbytes()[:1] == paramiko.common.cMSG_CHANNEL_SUCCESS:
            self.said_yes.set()


class _Server(paramiko.ServerInterface):
    def __init__(self, host: Host, transport: _Transport) -> None:
        self._host = host
        self._transport = transport
        self._admitted = loaded(host.user_key)

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        right = username == "root" and key == self._admitted
        return paramiko.common.AUTH_SUCCESSFUL if right else paramiko.common.AUTH_FAILED

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.common.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        text = command.decode()
        self._host.commands.append(text)
        act = self._host.script(text)
        if act is Act.CLOSE_BEFORE:
            self._transport.close()  # not politely: this is the thread that would wait
            return False
        if act is Act.RESET:
            _reset(self._transport.wire)
            return False
        if act is Act.FALL_SILENT:
            self._host.ended.wait(PATIENCE_S)  # this thread is the one that would answer
            return False
        self._transport.said_yes.clear()
        threading.Thread(target=self._answer, args=(channel, text, act)).start()
        return True

    def _answer(self, channel: paramiko.Channel, text: str, act: Act) -> None:
        self._transport.said_yes.wait(PATIENCE_S)
        if act is Act.CLOSE_AFTER:
            self._transport.hang_up()
        else:
            _execute(channel, text, self._host.ended)


def _reset(wire: socket.socket) -> None:
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.close()


def _execute(channel: paramiko.Channel, text: str, ended: threading.Event) -> None:
    """Run `text` in the shell that root has on a Debian; end what it started when the host ends."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        ["bash", "-c", text], stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
    ) as shell:
        assert shell.stdin
        assert shell.stdout
        assert shell.stderr
        pumps = [
            threading.Thread(target=_pump_in, args=(channel, shell.stdin)),
            threading.Thread(target=_pump_out, args=(shell.stdout, channel.sendall)),
            threading.Thread(target=_pump_out, args=(shell.stderr, channel.sendall_stderr)),
        ]
        for pump in pumps:
            pump.start()
        while (status := _status(shell)) is None:
            if ended.is_set() or channel.closed:
                os.killpg(shell.pid, signal.SIGKILL)
        for pump in pumps[1:]:
            pump.join()
        if status >= 0:  # sshd tells of a signal in a message that paramiko has no word for
            with suppress(OSError, EOFError):
                channel.send_exit_status(status)
        channel.close()
        pumps[0].join()


def _status(shell: subprocess.Popen[bytes]) -> int | None:
    try:
        return shell.wait(0.02)
    except subprocess.TimeoutExpired:
        return None


def _pump_in(channel: paramiko.Channel, sink: IO[bytes]) -> None:
    with suppress(OSError), sink:
        while chunk := channel.recv(65536):
            sink.write(chunk)
            sink.flush()


def _pump_out(source: IO[bytes], send: Callable[[bytes], None]) -> None:
    with suppress(OSError):
        while chunk := os.read(source.fileno(), 65536):
            send(chunk)


def loaded(pair: KeyPair) -> paramiko.PKey:
    return paramiko.Ed25519Key(file_obj=StringIO(pair.private_pem))


@contextmanager
def serving(script: Script = runs_all) -> Iterator[Host]:
    """Serve a new host on loopback until the end of the block."""
    host = Host(script)
    with standing(host):
        yield host


@contextmanager
def standing(host: Host) -> Iterator[None]:
    """Serve `host` at its port (any, if that is 0) until the end of the block."""
    with socket.create_server(("127.0.0.1", host.port)) as listener:
        host.port = listener.getsockname()[1]
        acceptor = threading.Thread(target=_accept, args=(listener, host))
        acceptor.start()
        try:
            yield
        finally:
            host.ended.set()
            listener.shutdown(socket.SHUT_RDWR)
            acceptor.join()
            for transport in host.lines:
                transport.close()
                transport.join(PATIENCE_S)


def _accept(listener: socket.socket, host: Host) -> None:
    with suppress(OSError):  # the listener was shut down: the end
        while True:
            wire, _ = listener.accept()
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as sshd does
            host.connections += 1
            transport = _Transport(wire)
            host.lines.append(transport)
            transport.add_server_key(loaded(host.host_key))
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, RealFiles)
            transport.start_server(threading.Event(), _Server(host, transport))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
