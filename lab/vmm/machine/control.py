# SPDX-License-Identifier: Apache-2.0
"""labvmm's control socket: one JSON object a line each way, and descriptors by SCM_RIGHTS."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ..errors import VmmError

LINE_MAX_BYTES = 1 << 20
FDS_MAX = 64
CREDENTIALS = struct.Struct("=3i")  # struct ucred: pid, uid, gid


class Reply(NamedTuple):
    """What a verb answers, and the descriptors that go with it, by name."""

    content: Mapping[str, object]
    fds: Mapping[str, int] = {}  # a tuple's default; never changed


@dataclass(slots=True)
class Question:
    """What a client sent; a verb that keeps a descriptor takes it out of `fds`."""

    content: dict[str, object]
    fds: dict[str, int]


Verbs = Mapping[str, Callable[[Question], Reply]]


class Server:
    """Listens on a UNIX socket for processes of the same user; one thread a client.

    Args:
        path: The socket to make.
        verbs: What answers each verb.

    Raises:
        VmmError: The socket cannot be made.
    """

    def __init__(self, path: Path, verbs: Verbs) -> None:
        self.path = path
        self._verbs = verbs
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        mask = os.umask(0o177)
        try:
            self._listener.bind(str(path))
        except OSError as e:
            self._listener.close()
            raise VmmError(
                f"socket '{path}' cannot be made: {e.strerror}",
                hint="is another labvmm using it, or did one die there? then remove it",
            ) from e
        finally:
            os.umask(mask)
        self._listener.listen()
        self._thread = threading.Thread(target=self._accept, name="control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening and remove the socket."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._listener.close()
        self.path.unlink(missing_ok=True)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            for line, fds in _lines(client):
                question = Question({}, {})
                reply = self._answer(client, line, fds, question)
                for fd in question.fds.values():
                    os.close(fd)
                _send(client, reply)

    def _answer(
        self, client: socket.socket, line: bytes, fds: list[int], question: Question
    ) -> Reply:
        try:
            _read_question(line, fds, question)
            _insist_on_same_user(client)
            reply = self._act(question)
        except (VmmError, OSError, ValueError) as e:
            return Reply({"ok": False, "error": str(e)})
        return Reply({"ok": True, **reply.content}, reply.fds)

    def _act(self, question: Question) -> Reply:
        verb = str(question.content.get("verb"))
        if verb not in self._verbs:
            raise VmmError(f"unknown verb '{verb}'", hint=f"one of {', '.join(self._verbs)}")
        return self._verbs[verb](question)


def _lines(client: socket.socket) -> Iterator[tuple[bytes, list[int]]]:
    """Yield each line that a client sends, and the descriptors that came with it or before."""
    text = b""
    fds: list[int] = []
    while True:
        more, came, _, _ = socket.recv_fds(client, LINE_MAX_BYTES, FDS_MAX)
        text, fds = text + more, fds + came
        while b"\n" in text:
            line, _, text = text.partition(b"\n")
            yield line, fds
            fds = []
        if not more or len(text) > LINE_MAX_BYTES:
            for fd in fds:
                os.close(fd)
            return


def _read_question(line: bytes, fds: list[int], question: Question) -> None:
    question.fds = {str(fd): fd for fd in fds}  # whatever comes of it, they will be closed
    content = json.loads(line)
    question.content = content if isinstance(content, dict) else {"verb": content}
    names = question.content.pop("fds", [])
    if not isinstance(names, list) or len(names) != len(fds):
        raise VmmError(f"{len(fds)} descriptors came with names {names}")
    question.fds = dict(zip(map(str, names), fds, strict=True))


def _insist_on_same_user(client: socket.socket) -> None:
    peer = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    _, uid, _ = CREDENTIALS.unpack(peer)
    if uid != os.geteuid():
        raise VmmError(f"this labvmm belongs to user {os.geteuid()}: user {uid} may not use it")


def _send(client: socket.socket, reply: Reply) -> None:
    message = json.dumps({**reply.content, "fds": list(reply.fds)}).encode() + b"\n"
    sent = socket.send_fds(client, [message], list(reply.fds.values())) if reply.fds else 0
    client.sendall(message[sent:])


@contextlib.contextmanager
def connected(path: Path, patience: float = 30.0) -> Iterator[socket.socket]:
    """Connect to a labvmm.

    Args:
        path: Its control socket.
        patience: Seconds that each answer may take.

    Yields:
        The connected socket.

    Raises:
        VmmError: No process listens there.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as client:
        client.settimeout(patience)
        try:
            client.connect(str(path))
        except OSError as e:
            raise VmmError(f"no labvmm listens on '{path}': {e.strerror}") from e
        yield client


def ask(
    path: Path,
    verb: str,
    content: Mapping[str, object] | None = None,
    fds: Mapping[str, int] | None = None,
) -> tuple[dict[str, object], dict[str, int]]:
    """Send one question to a labvmm and wait for its answer.

    Args:
        path: Its control socket.
        verb: What is asked, or told.
        content: The verb's other words, all JSON.
        fds: Descriptors to send along, by name.

    Returns:
        The answer, and the descriptors that came with it, by name.

    Raises:
        VmmError: No process listens, the answer is cut off, or labvmm refused.
    """
    with connected(path) as client:
        _send(client, Reply({**(content or {}), "verb": verb}, fds or {}))
        text, came, _, _ = socket.recv_fds(client, LINE_MAX_BYTES, FDS_MAX)
        while text and not text.endswith(b"\n") and len(text) < LINE_MAX_BYTES:
            more = client.recv(LINE_MAX_BYTES)
            if not more:
                break
            text += more
    if not text.endswith(b"\n"):
        raise VmmError(f"labvmm on '{path}' ended in mid-answer to '{verb}'")
    answer: dict[str, object] = json.loads(text)
    if not answer.get("ok"):
        raise VmmError(f"labvmm on '{path}' refused '{verb}': {answer.get('error')}")
    names = answer["fds"] if isinstance(answer["fds"], list) else []
    return answer, dict(zip(names, came, strict=True))


def remove_stale(path: Path) -> None:
    """Remove the socket of a labvmm that died; one that a process listens on stays.

    Args:
        path: The socket; it may be missing.
    """
    with contextlib.suppress(FileNotFoundError):
        try:
            with connected(path):
                return
        except VmmError as e:
            if isinstance(e.__cause__, ConnectionRefusedError):
                path.unlink()
