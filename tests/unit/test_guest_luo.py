# SPDX-License-Identifier: Apache-2.0
"""What LUO preserves of a stopped guest, and what each strategy says of it afterwards."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from lab.config.model import GuestKind, MemoryKind, VmmKind
from lab.deadline import Deadline
from lab.errors import InfraError
from lab.guest.guest import GuestPlan
from lab.guest.handover import luo
from lab.guest.handover.luo import MEMORY_HANDOVERS, Preserved
from lab.ssh.session import Result

DIGEST = "ab" * 32


class Session:
    """An L1 whose labvmm writes `log`, and ends with `result`."""

    def __init__(self, log: str = "", result: Result | None = None) -> None:
        self.log, self.result = log, result
        self.words: list[str] = []

    def spawn(self, argv: list[str], log: str, *, by: Deadline) -> int:
        """Note the words."""
        self.words = argv
        return 7

    def get(self, path: str) -> bytes:
        """Return the log."""
        return self.log.encode()

    def run(self, argv: list[str], *, by: Deadline) -> Result:
        """End as told."""
        self.words = argv
        assert self.result is not None
        return self.result

    def check(self, argv: list[str], *, by: Deadline) -> str:
        """Make a folder."""
        return ""


def guest_of(session: Session) -> Any:
    plan = GuestPlan(name="g", kind=GuestKind.LINUX, vmm=VmmKind.LABVMM)
    return SimpleNamespace(host=SimpleNamespace(session=session), plan=plan)


def test_each_kind_of_memory_has_its_strategy() -> None:
    assert set(MEMORY_HANDOVERS) == set(MemoryKind)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (MemoryKind.MEMFD, ["--empty"]),
        (MemoryKind.LUO_MEMFD, []),
        (MemoryKind.LUO_GUEST, ["--state"]),
    ],
)
def test_session_preserves_what_the_strategy_needs(kind: MemoryKind, words: list[str]) -> None:
    session = Session(json.dumps({"sha256": DIGEST}))
    preserved = MEMORY_HANDOVERS[kind].preserve(guest_of(session), Deadline.after(1))
    assert preserved.digest == DIGEST
    assert session.words[session.words.index("--digest") + 1 :] == words


@pytest.mark.parametrize(
    ("log", "says"),
    [("labvmm luo: EBUSY", "was not preserved: labvmm luo: EBUSY"), ('{"sha256": ""}', "digested")],
)
def test_refused_or_undigested_memory_is_an_error(log: str, says: str) -> None:
    with pytest.raises(InfraError, match=says):
        MEMORY_HANDOVERS[MemoryKind.LUO_MEMFD].preserve(guest_of(Session(log)), Deadline.after(1))


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (Result("luo", 0, json.dumps({"sha256": DIGEST}), ""), DIGEST),
        (Result("luo", 1, "", "labvmm luo: ENOENT\n"), "nothing: labvmm luo: ENOENT"),
        (Result("luo", 137, "", ""), "nothing: status 137"),
    ],
)
def test_retrieved_ram_has_a_digest_and_no_guest(result: Result, said: str) -> None:
    strategy = MEMORY_HANDOVERS[MemoryKind.LUO_MEMFD]
    guest = guest_of(Session(result=result))
    recovered = strategy.recover(guest, Preserved("s", DIGEST), Deadline.after(1))
    assert (recovered.said, recovered.guest) == (said, None)


def test_guest_that_is_not_restored_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise InfraError("ENOENT")

    monkeypatch.setattr(luo, "ready", refused)
    strategy = MEMORY_HANDOVERS[MemoryKind.LUO_GUEST]
    recovered = strategy.recover(guest_of(Session()), Preserved("s", DIGEST), Deadline.after(1))
    assert (recovered.said, recovered.guest) == ("nothing: ENOENT", None)
