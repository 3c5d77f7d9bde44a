# SPDX-License-Identifier: Apache-2.0
"""A pid is not a process: who owns what is told by start time, and the dead own nothing."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from lab.deadline import Deadline
from lab.errors import ConfigError, DeadlineError
from lab.resources.ledger import Ledger, flocked, owned, state_dir
from lab.resources.owner import Owner
from lab.resources.run_folders import (
    QemuUser,
    let_qemu_read,
    must_be_readable,
    new_run_folder,
    run_folders,
)


def test_a_process_is_itself_and_nobody_else_with_its_pid() -> None:
    me = Owner.me()
    assert me.alive
    assert not replace(me, started=me.started + 1).alive
    assert not replace(me, boot="another").alive


def test_zombie_process_is_not_alive() -> None:
    child = subprocess.Popen(["sleep", "60"])
    owner = Owner.of(child.pid)
    seen = [owner.alive]
    owner.signal(signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    seen.append(owner.alive)
    child.wait()
    seen.append(owner.alive)
    assert seen == [True, False, False]
    with pytest.raises(ProcessLookupError):
        Owner.of(child.pid)


def test_signal_is_not_sent_to_a_reused_pid() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        former = replace(Owner.of(child.pid), started=1)
        former.signal(signal.SIGKILL)
        assert child.poll() is None
        Owner.of(child.pid).signal(signal.SIGTERM)
        assert child.wait(timeout=10) == -signal.SIGTERM


def test_the_entries_of_the_dead_are_dropped(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l.json")
    with ledger.opened() as entries:
        entries += [owned(Owner.me(), n=1), owned(replace(Owner.me(), started=1), n=2)]
    with ledger.opened() as entries:
        assert [e["n"] for e in entries] == [1]


def test_a_ledger_that_was_cut_short_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "l.json").write_text("[{")
    with Ledger(tmp_path / "l.json").opened() as entries:
        assert entries == []


def test_a_lock_that_others_hold_is_named(tmp_path: Path) -> None:
    with (
        flocked(tmp_path / "x", "x", Deadline.after(1)),
        pytest.raises(DeadlineError, match="waited for the other one"),
        flocked(tmp_path / "x", "the other one", Deadline.after(0.1)),
    ):
        pass


def test_a_state_folder_that_cannot_be_is_the_users_to_mend(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot make the state folder"):
        state_dir(tmp_path / "file" / "state")
    assert state_dir(tmp_path / "a" / "b").is_dir()


def test_a_run_folder_says_whose_it_is(tmp_path: Path) -> None:
    made = new_run_folder(tmp_path, "7f3a")
    (tmp_path / "runs" / "dead").mkdir()
    found = {f.run_id: f for f in run_folders(tmp_path)}
    assert set(found) == {"7f3a", "dead"}
    assert not found["7f3a"].abandoned
    assert found["dead"].abandoned
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o700
    for folder in found.values():
        folder.remove()
        folder.remove()
    assert run_folders(tmp_path) == []


def test_a_secret_is_never_open_to_the_world(tmp_path: Path) -> None:
    seed = tmp_path / "seed"
    seed.write_text("key")
    seed.chmod(0o644)
    let_qemu_read(seed, None)
    assert stat.S_IMODE(seed.stat().st_mode) == 0o600
    let_qemu_read(seed, QemuUser(os.getuid(), os.getgid()))
    assert stat.S_IMODE(seed.stat().st_mode) == 0o640
    must_be_readable([seed], QemuUser(os.getuid(), os.getgid()))
