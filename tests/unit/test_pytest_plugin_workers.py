# SPDX-License-Identifier: Apache-2.0
"""Of several workers of xdist one makes the run's folder; no other goes on before it is there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab.deadline import Deadline
from lab.errors import DeadlineError
from lab.pytest_plugin import run as runs
from lab.pytest_plugin.run import Run
from lab.record.model import RunHeader

_OPTIONS = {
    "--lab-tier": "ci",
    "--lab-accel": "",
    "--lab-repeat": "1",
    "--lab-resume": None,
    "--lab-run-id": "",
    "--lab-shard": "",
}


def worker(reports: Path, name: str) -> Run:
    """Return the run as a worker has it."""
    options = {**_OPTIONS, "--lab-reports": str(reports)}
    config: Any = SimpleNamespace(getoption=options.__getitem__)
    sent = {"lab_run_id": "abc123", "lab_started": "2026-01-02T03:04:05+00:00"}
    return Run(config, {"workerid": name, **sent})


def header(run: Run) -> RunHeader:
    """Return what the run's folder begins with."""
    return RunHeader(run_id=run.run_id, started=run.started)


def test_a_worker_goes_on_once_the_first_has_made_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = worker(tmp_path, "gw0"), worker(tmp_path, "gw1")
    looks: list[bool | None] = []

    def until(_what: str, probe: Callable[[], bool | None], _by: Deadline) -> bool | None:
        """Have the first worker come only after the second has looked in vain."""
        looks.append(probe())
        first.begin(header(first))
        looks.append(probe())
        return looks[-1]

    monkeypatch.setattr(runs, "until", until)
    second.begin(header(second))
    assert looks == [None, True]
    assert second.folder == first.folder
    assert (first.own_folder / "cells").is_dir()


def test_a_worker_without_a_folder_names_what_did_not_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "_OTHERS_S", 0.01)
    second = worker(tmp_path, "gw1")
    with pytest.raises(DeadlineError, match=r"abc123/header\.json"):
        second.begin(header(second))


@pytest.mark.parametrize("name", ["main", "gw0"])
def test_who_makes_the_folder_waits_for_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(runs, "until", None)
    only = worker(tmp_path, name)
    only.begin(header(only))
    assert (only.own_folder / "header.json").exists()
