# SPDX-License-Identifier: Apache-2.0
"""One file whose digest is known, from the first mirror that has it.

What an interrupted download left is gone on from: the digest makes that safe, whatever the mirror
says of its times. (apt asks with If-Range, and begins anew where a mirror gives no Last-Modified.)
"""

from __future__ import annotations

import http.client
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

from lab.build.cache import file_digest
from lab.build.offline import pass_gate
from lab.build.proxies import opener
from lab.errors import GoneError, InfraError

_BLOCK_BYTES = 1 << 18
_SILENT_S = 60
_TRIES = 4
_LOCAL = "file"
_GONE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
Tell = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One file of a mirror.

    Attributes:
        what: What it is, for messages: "linux-image-amd64 7.3.4-1".
        path: Its path beneath a mirror's URL, not quoted.
        size: Bytes.
        sha256: Its digest.
    """

    what: str
    path: str
    size: int
    sha256: str


@dataclass(slots=True)
class _Answers:
    """What each mirror said instead of the file."""

    said: list[str] = field(default_factory=list)
    gone: int = 0
    asked: int = 0


def fetch(wanted: Wanted, mirrors: Sequence[str], into: Path, tell: Tell) -> None:
    """Fetch a file into `into`; what is there of it already is not fetched again.

    Args:
        wanted: The file.
        mirrors: URLs of mirrors, in the order in which they are asked.
        into: Where it is written; whatever it has is the file's beginning.
        tell: Called with the bytes that each block adds.

    Raises:
        GoneError: No mirror has it any more.
        InfraError: No mirror gave it whole and with its digest; the message has each one's answer.
        OfflineError: A mirror would have to be asked, and the lab is offline.
    """
    answers = _Answers()
    for mirror in mirrors:
        url = f"{mirror}/{urllib.parse.quote(wanted.path)}"
        if not url.startswith(f"{_LOCAL}:"):
            pass_gate(f"downloading {wanted.what}")
        answers.asked += 1
        if _from(url, wanted, into, tell, answers):
            return
    said = "\n".join(answers.said)
    if answers.gone == answers.asked:
        raise GoneError(
            f"{wanted.what} (SHA-256 {wanted.sha256[:12]}...) is locked, and no mirror has it any "
            f"more:\n{said}",
            hint="a machine that has it still: lab cache export FILE there, lab cache import FILE "
            "here; to test what there is now instead: lab lock --update",
        )
    raise InfraError(
        f"no mirror gave {wanted.what} (SHA-256 {wanted.sha256[:12]}...):\n{said}",
        hint="type the same again, it goes on where it stopped; or set 'mirror' in lab.toml to "
        "another one",
    )


def _from(url: str, wanted: Wanted, into: Path, tell: Tell, answers: _Answers) -> bool:
    """Fetch it from one mirror, and return whether it came.

    What was there before may be another's wrong bytes: then it is fetched once more, all of it.
    """
    for went_on in (True, False):
        if not went_on:
            into.unlink(missing_ok=True)
        began_with = _there(into)
        if not _whole(url, wanted, into, tell, answers):
            return False
        digest = file_digest(into)
        if digest == wanted.sha256 and _there(into) == wanted.size:
            return True
        if not began_with:
            answers.said.append(f"{url}: its SHA-256 is {digest}, expected {wanted.sha256}")
            into.unlink()
            return False
    raise AssertionError


def _whole(url: str, wanted: Wanted, into: Path, tell: Tell, answers: _Answers) -> bool:
    """Fetch all bytes; a connection that breaks is made anew while that brings some."""
    tries = _TRIES
    while (before := _there(into)) < wanted.size:
        try:
            _go_on(url, into, before, tell)
            why = f"ended after {_there(into)} of {wanted.size} bytes"
        except urllib.error.HTTPError as e:
            why = f"{e.code} {e.reason}"
            if e.code in _GONE:
                return _gone(url, why, answers)
            if e.code < HTTPStatus.INTERNAL_SERVER_ERROR:
                tries = 1
        except (OSError, ValueError, http.client.HTTPException) as e:
            why = str(e) or type(e).__name__
            if isinstance(getattr(e, "reason", None), FileNotFoundError):  # of a file: URL
                return _gone(url, why, answers)
        if _there(into) > before:
            tries = _TRIES
            continue
        tries -= 1
        if not tries:
            answers.said.append(f"{url}: {why}")
            return False
    return True


def _gone(url: str, why: str, answers: _Answers) -> bool:
    answers.gone += 1
    answers.said.append(f"{url}: {why}: it has dropped that version")
    return False


def _go_on(url: str, into: Path, at: int, tell: Tell) -> None:
    request = urllib.request.Request(url, headers={"Range": f"bytes={at}-"} if at else {})  # noqa: S310
    with opener().open(request, timeout=_SILENT_S) as answer:
        goes_on = at > 0 and answer.status == HTTPStatus.PARTIAL_CONTENT
        with into.open("ab" if goes_on else "wb") as file:
            while block := answer.read(_BLOCK_BYTES):
                file.write(block)
                tell(len(block))


def _there(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
