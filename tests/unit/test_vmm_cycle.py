# SPDX-License-Identifier: Apache-2.0
"""`labvmm cycle` kills every adopter, and an adopter that ends by itself is not a cycle."""

from __future__ import annotations

import argparse
import json
import mmap
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.vmm import cli
from lab.vmm.commands import adopt, keep
from lab.vmm.devices import journal
from lab.vmm.kvm import async_run as kvm_async
from lab.vmm.kvm.async_run import Owner, Ownership, Policy
from lab.vmm.machine import control

COUNT = 12


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Path]:
    state = journal.create(2)
    holder = keep.Keeper()
    fds = {"vm": os.dup(state.fd), "state": os.dup(state.fd)}
    holder.deposit(control.Question({"magic": "x", "vcpus": 2}, fds))
    server = control.Server(tmp_path / "k", {"fetch": holder.fetch})
    yield server.path
    server.close()
    state.pages.close()
    os.close(state.fd)


@pytest.fixture
def adoptions(monkeypatch: pytest.MonkeyPatch) -> mmap.mmap:
    """Count, in memory that forks share, how many adopters got so far."""
    shared = mmap.mmap(-1, 4096)
    monkeypatch.setattr(
        kvm_async, "ownership", lambda _: Ownership(Owner.GONE, Policy.RUN, shared[0])
    )
    return shared


def adopter(shared: mmap.mmap, then: Callable[[], object]) -> Callable[..., None]:
    def main(_: argparse.Namespace, *, serve_one: object) -> None:
        assert serve_one is None
        shared[0] += 1
        then()

    return main


def test_every_adopter_is_killed(
    kept: Path,
    adoptions: mmap.mmap,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(adopt, "main", adopter(adoptions, signal.pause))
    words = ["--keeper", str(kept), "--socket", "s", "--count", str(COUNT), "--most-ms", "40"]
    assert cli.main(["cycle", *words]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["cycles"], told["owner"], told["exits"]) == (COUNT, "GONE", [0, 0])
    assert told["adoptions"] == adoptions[0] > 0
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_an_adopter_that_ends_by_itself_is_a_failure(
    kept: Path,
    adoptions: mmap.mmap,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(adopt, "main", adopter(adoptions, lambda: None))
    words = ["--keeper", str(kept), "--socket", "s", "--count", "3", "--most-ms", "4000"]
    assert cli.main(["cycle", *words]) == 1
    assert "adopter 1 of 3 ended by itself" in capfd.readouterr().err
