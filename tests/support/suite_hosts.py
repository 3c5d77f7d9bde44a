# SPDX-License-Identifier: Apache-2.0
"""Hosts for suites of tests: no machine, and what was done to them is noted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from lab.config.model import Arch, Patience
from lab.observe.identity import HostIdentity
from lab.ssh.session import Result

Answer = Callable[[Sequence[str]], Result]


def identity(boot: str, nonce: str = "n0") -> HostIdentity:
    """Return the identity of a boot."""
    words = f"console=ttyS0 lab.nonce={nonce}"
    return HostIdentity(boot_id=boot, cmdline=words, build_id="b1", release="7.3", uptime_s=2.0)


class Session:
    """A session whose programs `answer` plays; puts and commands are noted in order."""

    peer = "a"

    def __init__(self, answer: Answer) -> None:
        self.done: list[tuple[str, ...]] = []
        self._answer = answer

    def run(self, argv: Sequence[str], **_: object) -> Result:
        """Play a program."""
        self.done.append(tuple(argv))
        return self._answer(argv)

    def check(self, argv: Sequence[str], **about: object) -> str:
        """Play one that must succeed."""
        return self.run(argv, **about).stdout

    def put(self, source: Path, there: str, *_: object, **__: object) -> None:
        """Note a copy."""
        self.done.append(("put", source.name, there))


class Host(SimpleNamespace):
    """A host that no machine is behind."""

    def __init__(self, answer: Answer, arch: Arch = Arch.X86_64) -> None:
        now = identity("boot-1")
        super().__init__(
            role="a",
            session=Session(answer),
            console=SimpleNamespace(mark=lambda: 0, text="booted\n", findings=lambda _: []),
            identity=now,
            boots=[now],
            patience=Patience(),
            blueprint=SimpleNamespace(
                kernel=SimpleNamespace(build_id="b1"), request=SimpleNamespace(arch=arch)
            ),
            tainted=[],
        )

    def taint(self, why: str) -> None:
        """Note why."""
        self.tainted.append(why)


class Hosts:
    """A pool that has a new host for each lease."""

    def __init__(self, answer: Answer, arch: Arch = Arch.X86_64) -> None:
        self.leased: list[Host] = []
        self.lab_session: Any = SimpleNamespace(sink=lambda _: None)
        self._answer, self._arch = answer, arch

    @contextmanager
    def lease(self, _: object) -> Iterator[Host]:
        """Lease one."""
        self.leased.append(Host(self._answer, self._arch))
        yield self.leased[-1]


def ended(status: int = 0, out: str = "", err: str = "") -> Result:
    """Return how a program ended."""
    return Result("program", status, out, err)
