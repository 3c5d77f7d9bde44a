# SPDX-License-Identifier: Apache-2.0
"""Several labs on one machine: ports, memory, cores and quiet are shared, also with the dead."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lab.deadline import Deadline, until
from lab.errors import ConfigError, DeadlineError
from lab.resources.admission import Admission, Machine, alone, together
from lab.resources.ports import mac_for, reserved_port

SMALL = Machine(memory_mib=1000, cores=2)

HOLDS = """
import sys, pathlib
from lab.deadline import Deadline
from lab.resources.admission import *
from lab.resources.ports import reserved_port
state = pathlib.Path(sys.argv[1])
with Admission(state, Machine(1000, 2)).admit(800, 2, Deadline.after(30), what="the other"), \\
     reserved_port(state, "the other") as port, {lock}(state, Deadline.after(30)):
    print(port, flush=True)
    sys.stdin.read()
"""


def other_lab(state: Path, lock: str = "together") -> tuple[subprocess.Popen[str], int]:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDS.format(lock=lock), str(state)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    return child, int(child.stdout.readline())


def end(child: subprocess.Popen[str]) -> None:
    child.kill()
    child.communicate()


def test_admission_beyond_the_machine_fails_and_names_its_size(
    tmp_path: Path,
) -> None:
    door = Admission(tmp_path, SMALL)
    for memory, cores, says in ((1001, 1, "has 1000 MiB"), (1, 3, "has 2 cores")):
        with (
            pytest.raises(ConfigError, match=f"one_host asks for .* but the lab {says}"),
            door.admit(memory, cores, Deadline.after(60), what="one_host"),
        ):
            pass


def test_what_fits_is_admitted_and_what_does_not_waits(tmp_path: Path) -> None:
    door = Admission(tmp_path, SMALL)
    with (
        door.admit(400, 1, Deadline.after(5), what="a"),
        door.admit(400, 1, Deadline.after(5), what="b"),
    ):
        assert door.holders() == ["a (400 MiB, 1 cores)", "b (400 MiB, 1 cores)"]
        with (
            pytest.raises(DeadlineError, match="waited for 100 MiB and 1 cores for c"),
            door.admit(100, 1, Deadline.after(0.3), what="c"),
        ):
            pass
    assert door.holders() == []


def test_more_vcpus_than_cores_needs_overcommit(tmp_path: Path) -> None:
    door = Admission(tmp_path, SMALL)
    assert door.cores_for(3, overcommit=False) == 3
    assert door.cores_for(3, overcommit=True) == 2
    assert door.cores_for(1, overcommit=True) == 1
    with pytest.raises(ConfigError, match="3 cores, but the lab has 2") as refused:
        door.must_fit(100, 3, "three")
    assert "overcommit = true" in str(refused.value.hint)


def test_what_a_killed_lab_had_locked_is_free(tmp_path: Path) -> None:
    child, port = other_lab(tmp_path)
    door = Admission(tmp_path, SMALL)
    with (
        pytest.raises(DeadlineError),
        door.admit(400, 1, Deadline.after(0.3), what="mine"),
    ):
        pass
    end(child)
    with door.admit(1000, 2, Deadline.after(10), what="mine"), reserved_port(tmp_path, "mine") as p:
        assert p > 0
    assert port > 0


def test_admission_is_first_come_first_served(tmp_path: Path) -> None:
    door = Admission(tmp_path, SMALL)
    order: list[str] = []

    def enter(what: str, memory: int) -> None:
        with door.admit(memory, 1, Deadline.after(20), what=what):
            order.append(what)

    with door.admit(600, 1, Deadline.after(5), what="first"):
        big = threading.Thread(target=enter, args=("big", 900))
        big.start()
        with (
            pytest.raises(DeadlineError),
            door.admit(950, 1, Deadline.after(0.5), what="never"),
        ):
            pass
        small = threading.Thread(target=enter, args=("small", 300))
        small.start()
        with pytest.raises(DeadlineError):
            until("either to be let in", lambda: order or None, Deadline.after(0.7))
    big.join()
    small.join()
    assert order == ["big", "small"]


def test_ordinary_cells_share_and_a_timing_cell_is_alone(tmp_path: Path) -> None:
    child, _ = other_lab(tmp_path, "together")
    with together(tmp_path, Deadline.after(5)):
        pass
    with (
        pytest.raises(DeadlineError, match="the machine to itself"),
        alone(tmp_path, Deadline.after(0.3)),
    ):
        pass
    end(child)
    with alone(tmp_path, Deadline.after(10)):
        pass


def test_while_a_timing_cell_runs_ordinary_cells_wait(tmp_path: Path) -> None:
    child, _ = other_lab(tmp_path, "alone")
    with (
        pytest.raises(DeadlineError, match="a timing cell to be done"),
        together(tmp_path, Deadline.after(0.3)),
    ):
        pass
    end(child)
    with together(tmp_path, Deadline.after(10)):
        pass


def test_a_port_is_nobody_elses(tmp_path: Path) -> None:
    child, theirs = other_lab(tmp_path)
    with reserved_port(tmp_path, "a") as a, reserved_port(tmp_path, "b") as b:
        assert len({a, b, theirs}) == 3
        with socket.socket() as s:
            s.bind(("127.0.0.1", a))
    end(child)


def test_a_mac_is_made_of_run_and_role() -> None:
    assert mac_for("7f3a", "l1-a") == mac_for("7f3a", "l1-a")
    assert len({mac_for("7f3a", "l1-a"), mac_for("7f3a", "l1-b"), mac_for("7f3b", "l1-a")}) == 3
    assert mac_for("7f3a", "l1-a").startswith("52:54:00:")
