# SPDX-License-Identifier: Apache-2.0
"""`labvmm pretend` says what a right adopter and keeper say, and asks KVM for nothing."""

from __future__ import annotations

import argparse
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from lab.deadline import Deadline, until
from lab.vmm import cli
from lab.vmm.commands import keep
from lab.vmm.errors import VmmError
from lab.vmm.fault import pretend
from lab.vmm.kvm import async_run as kvm_async
from lab.vmm.machine import control

DESCRIPTORS = ("vm", "vcpu0", "vcpu1")


def brought(keeper: keep.Keeper) -> keep.Keeper:
    """Bring a keeper a guest of two vCPUs."""
    fds = {name: os.open(os.devnull, os.O_RDONLY) for name in DESCRIPTORS}
    keeper.deposit(control.Question({"magic": "x"}, fds))
    return keeper


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Path]:
    server = control.Server(tmp_path / "k", {"fetch": brought(keep.Keeper()).fetch})
    yield server.path
    server.close()


def test_an_adopter_that_asks_kvm_nothing_says_that_it_runs_a_guest(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kvm_async, "adopt", None)
    monkeypatch.setattr(kvm_async, "ownership", None)
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # not of this thread
    socket = tmp_path / "a"
    argv = ["pretend", "adopter", "--keeper", str(kept), "--socket", str(socket)]
    adopter = Thread(target=cli.main, args=(argv,), daemon=True)
    adopter.start()
    until("its socket", lambda: socket.exists() or None, Deadline.after(20))
    status, _ = control.ask(socket, "status")
    assert (status["state"], status["pid"]) == ("running", os.getpid())
    control.ask(socket, "quit")
    adopter.join(20)
    ready, end = map(json.loads, capfd.readouterr().out.splitlines())
    assert (ready["state"], ready["pid"], end["state"]) == ("running", os.getpid(), "ended")


def test_an_adopter_wants_a_guest(tmp_path: Path) -> None:
    chosen = argparse.Namespace(role="adopter", keeper=None, socket=tmp_path / "a")
    with pytest.raises(VmmError, match="wants --keeper"):
        pretend.main(chosen)


@pytest.mark.parametrize(
    ("kind", "passed"), [(keep.Keeper, DESCRIPTORS), (pretend.Forgetful, DESCRIPTORS[:2])]
)
def test_a_forgetful_keeper_passes_on_one_vcpu_less(
    kind: type[keep.Keeper], passed: tuple[str, ...]
) -> None:
    keeper = brought(kind())
    reply = keeper.fetch(control.Question({}, {}))
    assert tuple(reply.fds) == passed
    assert keeper.status(control.Question({}, {})).content["descriptors"] == sorted(DESCRIPTORS)
