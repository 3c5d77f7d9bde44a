# SPDX-License-Identifier: Apache-2.0
"""A real browser, headless, spoken to over a pipe: what it logs, asks for, draws and measures.

Chromium's own protocol (DevTools) on file descriptors 3 and 4, messages ended by a zero byte:
no driver, no port, nothing to install but Debian's `chromium`.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lab.deadline import Deadline, until

_PATIENCE_S = 60.0
_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-default-apps", "--disable-extensions", "--hide-scrollbars",
    "--remote-debugging-pipe",
)  # fmt: skip


class Tab:
    """One page of the browser."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser, self._session = browser, session
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: object) -> Any:
        """Do one thing of the protocol, and give what came of it."""
        return self._browser.ask(method, parameters, self._session)

    def open(self, page: Path, *, width: int = 1400, dark: bool = False, anchor: str = "") -> None:
        """Open a page of so many pixels' width, and wait until it is loaded."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=1000, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        self._browser.events.clear()
        self.ask("Page.navigate", url=page.resolve().as_uri() + anchor)
        self._browser.wait_for("Page.loadEventFired")

    def find(self, expression: str) -> Any:
        """Evaluate JavaScript in the page."""
        said = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in said, said
        return said["result"].get("value")

    def shoot(self, to: Path) -> None:
        """Draw the whole page into a file."""
        drawn = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        to.write_bytes(base64.b64decode(drawn["data"]))

    @property
    def asked_for(self) -> list[str]:
        """Every address that the page asked for since it was opened."""
        return [
            event["params"]["request"]["url"]
            for event in self._browser.events
            if event["method"] == "Network.requestWillBeSent"
        ]

    @property
    def complaints(self) -> list[str]:
        """Everything on the console since it was opened."""
        kinds = {"Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"}
        return [json.dumps(e["params"]) for e in self._browser.events if e["method"] in kinds]


class Browser:
    """A running Chromium, at the two ends of a pipe."""

    def __init__(self, to: int, back: int) -> None:
        self._to, self._back = to, back
        self._rest = b""
        self._last = 0
        self.events: list[dict[str, Any]] = []

    def tab(self) -> Tab:
        """Open an empty page."""
        target = self.ask("Target.createTarget", {"url": "about:blank"})["targetId"]
        told = self.ask("Target.attachToTarget", {"targetId": target, "flatten": True})
        return Tab(self, told["sessionId"])

    def ask(self, method: str, parameters: dict[str, Any], session: str | None = None) -> Any:
        """Send one message, and wait for its answer."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        answer = until(f"an answer to {method}", self._answer, Deadline.after(_PATIENCE_S), every=0)
        assert "error" not in answer, f"{method}: {answer}"
        return answer["result"]

    def wait_for(self, event: str) -> None:
        """Read on until something has happened."""

        def seen() -> bool | None:
            if any(each["method"] == event for each in self.events):
                return True
            self._read()
            return None

        until(event, seen, Deadline.after(_PATIENCE_S), every=0)

    def _answer(self) -> dict[str, Any] | None:
        message = self._read()
        return message if message.get("id") == self._last else None

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            came = os.read(self._back, 1 << 20)
            assert came, "the browser went away"
            self._rest += came
        raw, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(raw)
        if "method" in message:
            self.events.append(message)
        return message


@contextmanager
def browser() -> Iterator[Browser]:
    """Run a browser for the block; the test is skipped where there is none."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    to_read, to_write = os.pipe()
    back_read, back_write = os.pipe()

    def ends() -> None:
        os.dup2(to_read, 10)  # out of the way of 3 and 4, which one of them may be
        os.dup2(back_write, 11)
        os.dup2(10, 3)
        os.dup2(11, 4)

    with tempfile.TemporaryDirectory(prefix="lab-browser-", ignore_cleanup_errors=True) as home:
        process = subprocess.Popen(
            [program, *_FLAGS, f"--user-data-dir={home}"],
            preexec_fn=ends,  # noqa: PLW1509 - the protocol wants these two numbers
            close_fds=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": home},
        )
        os.close(to_read)
        os.close(back_write)
        try:
            yield Browser(to_write, back_read)
        finally:
            os.close(to_write)
            os.close(back_read)
            try:  # it ends when the pipe does
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
