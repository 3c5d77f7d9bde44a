# SPDX-License-Identifier: Apache-2.0
"""From an address to an authenticated connection: waits for sshd, and trusts one host key only."""

from __future__ import annotations

import logging
import socket
from contextlib import ExitStack
from dataclasses import dataclass

import paramiko

from lab.deadline import Deadline, until
from lab.errors import DeadlineError, InfraError
from lab.ssh.keys import fingerprint, public_blob
from lab.ssh.loss import LOSSES

# Failing attempts are the normal case while a host boots: paramiko's own complaints are noise.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

# Cheap on an emulated CPU, and all that a current sshd needs (its post-quantum default is dear).
_KEX = ("curve25519-sha256@libssh.org", "ecdh-sha2-nistp256")
_CIPHERS = ("aes128-gcm@openssh.com", "aes128-ctr")

_KEEPALIVE_S = 5
_STUCK_WRITE_MS = 30_000
_FIRST_PATIENCE_S = 2.0
_MOST_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Address of a host's sshd, the one host key it may show, and the key that opens it."""

    peer: str
    host: str
    port: int
    host_key_line: str
    key: paramiko.PKey
    user: str = "root"

    def __str__(self) -> str:
        return f"{self.peer} at {self.host}:{self.port}"


def reach(door: Door, by: Deadline) -> paramiko.Transport:
    """Connect as soon as there is an sshd; connecting is a probe, so it is tried again and again.

    Each attempt gets more time than the one before, or a slow host would never be reached.

    Args:
        door: Where to connect, and with which keys.
        by: When to give up.

    Returns:
        The authenticated connection.

    Raises:
        DeadlineError: No sshd answered by `by`; the hint is how the last attempt ended.
        InfraError: Another machine answered, or this one refuses the key; at once, never retried.
    """
    patience = _FIRST_PATIENCE_S
    last = "no attempt was made"

    def attempt() -> paramiko.Transport | None:
        nonlocal patience, last
        try:
            return _attempt(door, by.capped(patience))
        except LOSSES as e:
            last = f"{type(e).__name__}: {e}" if str(e) else type(e).__name__
            patience = min(2 * patience, _MOST_PATIENCE_S)
            return None

    try:
        return until(f"sshd on {door}", attempt, by)
    except DeadlineError as e:
        raise DeadlineError(str(e), hint=f"the last attempt ended with {last}") from e


def _attempt(door: Door, by: Deadline) -> paramiko.Transport:
    """Connect once; a Transport, unlike an SSHClient, knows no agent, key search or known_hosts."""
    with ExitStack() as undo:
        sock = socket.create_connection((door.host, door.port), timeout=max(by.left, 0.1))
        undo.callback(sock.close)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _STUCK_WRITE_MS)
        transport = _transport(sock, by)
        undo.callback(transport.close)
        try:
            transport.start_client(timeout=by.left)
        except paramiko.ssh_exception.IncompatiblePeer as e:
            raise InfraError(f"{door} has no SSH algorithm in common with the lab: {e}") from e
        _insist_on_host_key(door, transport.get_remote_server_key())
        try:
            transport.auth_publickey(door.user, door.key)
        except paramiko.AuthenticationException as e:
            if not transport.is_active() or by.left == 0:
                raise  # it went away or was slow, which is not a refusal
            shown = fingerprint(door.key.asbytes())
            raise InfraError(f"{door} refused the key {shown} for '{door.user}'") from e
        transport.set_keepalive(_KEEPALIVE_S)
        undo.pop_all()
        return transport


def _transport(sock: socket.socket, by: Deadline) -> paramiko.Transport:
    transport = paramiko.Transport(sock)
    options = transport.get_security_options()
    options.kex = [name for name in _KEX if name in options.kex]
    options.ciphers = [name for name in _CIPHERS if name in options.ciphers]
    transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = by.left
    return transport


def _insist_on_host_key(door: Door, shown: paramiko.PKey) -> None:
    expected = public_blob(door.host_key_line)
    if shown.asbytes() != expected:
        raise InfraError(
            f"{door} shows host key {fingerprint(shown.asbytes())},"
            f" but its own is {fingerprint(expected)}",
            hint="another machine answers on that port; `lab status` says whose it is",
        )
