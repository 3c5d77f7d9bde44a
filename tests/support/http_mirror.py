# SPDX-License-Identifier: Apache-2.0
"""A mirror on 127.0.0.1 that can be told to misbehave as mirrors do."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from lab.config.lock import LockedPackage


@dataclass
class Mirror:
    """What it has, what is wrong with it, and what it was asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    """Whether it heeds a Range."""
    cut: int | None = None
    """How many bytes of an answer it sends before it hangs up; None for all."""
    cuts: int = -1
    """How many answers are cut; -1 for all."""
    status: int = 0
    """What it answers to everything; 0 for what is right."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Path and Range of each question."""
    url: str = ""

    def add(self, path: str, content: bytes, version: str = "1") -> LockedPackage:
        """Have a file, and return how a lock names it."""
        self.files[path] = content
        return locked(path, content, version)


def locked(path: str, content: bytes, version: str = "1") -> LockedPackage:
    """How a lock names a file of a mirror."""
    return LockedPackage(
        name=path.rpartition("/")[2].partition("_")[0],
        version=version,
        path=path,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )


@contextmanager
def serving(mirror: Mirror) -> Iterator[Mirror]:
    """Serve it, at `mirror.url`."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            mirror.asked.append((self.path, wanted))
            content = mirror.files.get(self.path.lstrip("/"))
            if mirror.status or content is None:
                self.send_error(mirror.status or 404)
                return
            begins = re.fullmatch(r"bytes=(\d+)-", wanted) if mirror.ranges else None
            at = int(begins[1]) if begins else 0
            if begins and at >= len(content):
                self.send_error(416)
                return
            self.send_response(206 if begins else 200)
            self.send_header("Content-Length", str(len(content) - at))
            self.end_headers()
            rest = content[at:]
            if mirror.cut is not None and mirror.cuts:
                mirror.cuts -= 1
                rest = rest[: mirror.cut]
            self.wfile.write(rest)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    mirror.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield mirror
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
