# SPDX-License-Identifier: Apache-2.0
"""One kexec after the other: what is between two of them, and when no other follows."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from lab.config.model import KexecLoad, Options, Orphaning
from lab.disruption import host
from lab.host.kexec import Jumped
from lab.observe.identity import DidNot, Happened, HostIdentity


@dataclass(frozen=True)
class Kernel:
    """All that is asked of an image."""

    build_id: str


class World:
    """A host whose kernels come and go, and a guest in it that lives as long as is wanted."""

    def __init__(self, *, lives: int, refuses: int = 0) -> None:
        self.lives, self.refuses = lives, refuses
        self.story: list[str] = []
        self.boots, self.built = 0, "b"
        self.host = SimpleNamespace(
            patience=SimpleNamespace(kexec=1, command=1),
            identity=self.identity(),
            blueprint=SimpleNamespace(kernel=Kernel("b"), through=None),
        )
        self.guest: Any = SimpleNamespace(host=self.host)

    def identity(self) -> HostIdentity:
        """Return which boot this is."""
        nonce = f"lab.nonce=n{self.boots}"
        return HostIdentity(f"boot{self.boots}", nonce, self.built, "7.3", 100.0 - self.boots)

    def prepare_for_kernel_exit(self, guest: Any, _by: Any) -> Any:
        """Note it."""
        self.story.append("leave")
        return guest

    def adopt(self, guest: Any, _by: Any) -> Any:
        """Note it."""
        self.story.append("adopt")
        return guest

    def status(self, _guest: Any, _by: Any) -> Any:
        """Have vCPUs, as long as it lives."""
        return SimpleNamespace(vcpus=(1,) if self.boots <= self.lives else ())

    def load(self, _host: Any, *, other: Kernel | None, **_: Any) -> Any:
        """Return the nonce of the next boot."""
        self.built = other.build_id if other else "b"
        return SimpleNamespace(nonce=f"n{self.boots + 1}", how=KexecLoad.LOAD)

    def jump(self, *_: Any) -> Jumped:
        """Boot, but where it is to fail."""
        self.story.append("jump")
        if self.boots + 1 != self.refuses:
            self.boots += 1
        self.host.identity = self.identity()
        return Jumped(kexec_s=1.5, boot_s=2.25)


def struck(world: World, times: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(host, "kexecs", world)
    options = Options(orphaning=Orphaning.RESIDENT, kexecs=times)
    driver: Any = SimpleNamespace(handover=world)
    return host.kexec(world.guest, driver, options)


def test_in_each_kernel_but_the_last_it_is_adopted(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(lives=99)
    delivered = struck(world, 3, monkeypatch)
    assert world.story == ["leave", "jump", "adopt", "leave", "jump", "adopt", "leave", "jump"]
    assert isinstance(delivered.witness, Happened)
    assert delivered.witness.what.startswith("3 kexecs, the last: ")
    assert delivered.facts["kexecs"] == 3
    assert delivered.witness.at < delivered.witness.done


def test_one_kexec_is_told_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(lives=99)
    delivered = struck(world, 1, monkeypatch)
    assert delivered.witness.what.startswith("kexec into")
    assert delivered.facts["load"] == "kexec_load"  # as it was, and not as it was asked for
    assert (delivered.facts["kexec_s"], delivered.facts["boot_s"]) == (1.5, 2.25)
    assert world.story == ["leave", "jump"]


def test_where_nobody_is_left_no_other_kexec_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    delivered = struck(World(lives=1), 20, monkeypatch)
    assert isinstance(delivered.witness, Happened)
    assert delivered.facts["kexecs"] == 2


def test_a_kexec_that_did_not_happen_is_the_witness(monkeypatch: pytest.MonkeyPatch) -> None:
    delivered = struck(World(lives=99, refuses=2), 3, monkeypatch)
    assert isinstance(delivered.witness, DidNot)
    assert delivered.facts["kexecs"] == 2


def test_each_other_kexec_is_into_the_other_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(lives=99)
    world.host.blueprint.through = Kernel("c")
    assert isinstance(struck(world, 2, monkeypatch).witness, Happened)
    assert world.built == "b"
    assert isinstance(struck(world, 1, monkeypatch).witness, Happened)
    assert world.built == "c"


def test_kexec_into_an_unintended_kernel_is_unproven(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(lives=99)
    world.host.blueprint.through = Kernel("c")
    monkeypatch.setattr(
        world, "load", lambda *_, **__: SimpleNamespace(nonce="n1", how=KexecLoad.LOAD)
    )
    assert isinstance(struck(world, 1, monkeypatch).witness, DidNot)


@pytest.mark.parametrize("boots", [True, False])
def test_reset_without_a_new_boot_id_did_not_happen(boots: bool) -> None:
    world = World(lives=99)

    def reset() -> None:
        world.boots += boots
        world.host.identity = world.identity()

    console = SimpleNamespace(mark=lambda: None, wait_for=lambda *_, **__: None)
    more = {
        "console": console,
        "domain": SimpleNamespace(reset=reset),
        "nonce": "n",
        "taint": lambda _: None,
    }
    vars(world.host).update(more, reconnect=lambda _: None)
    world.host.patience.boot = 1
    driver: Any = SimpleNamespace(handover=world)
    witness = host.reset(world.guest, driver, Options()).witness
    assert isinstance(witness, Happened) is boots
