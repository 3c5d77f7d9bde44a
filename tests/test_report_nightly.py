# SPDX-License-Identifier: Apache-2.0
"""`lab nightly` as a command: killed and gone on with, two at once, and who is to blame."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lab.deadline import Deadline, until
from lab.report import fragments, night
from lab.report.files import load
from lab.report.night import Night
from lab.report.record import PlannedCell, RunHeader
from lab.spec.fields import REPOSITORY
from tests.report_records import STARTED, cell

_LAB = """
cache = "cache"
state = "state"
[libvirt]
uris = ["test:///default"]
[host]
accelerator = "tcg"
memory_mib = 64
[kernel.stock]
recipe = "stock"
[nightly]
bench = false
repeat = 2
"""

_TOPOLOGY = """
name = "toy"
description = "nothing is booted"
[host.a]
arch = "x86_64"
[[cells]]
guest = ["linux", "spinner", "ticker"]
vmm = "qemu"
disruption = "none"
expect = "survives"
tier = "ci"
"""

_CELLS = """
from lab.report.record import Outcome
def test_guest(cell, judged):
    assert judged.outcome is not Outcome.ERROR, "cannot tell"
    assert judged.outcome is Outcome.PASSED
"""


_BESIDE = """
import os
from pathlib import Path
def told(name):
    with Path(os.environ["NIGHT_TOLD"]).open("a") as file:
        file.write(f"{name}\\n")
def test_first():
    told("first")
def test_second():
    told("second")
    assert os.environ.get("NIGHT_BESIDE") != "wrong", "so it was told"
    assert os.environ.get("NIGHT_BESIDE") != "broken" or int("x")
"""


class Nights:
    """A lab of its own, whose cells are only talk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        topologies = folder / "topologies"
        topologies.mkdir()
        (folder / "lab.toml").write_text(_LAB, encoding="utf-8")
        (topologies / "toy.toml").write_text(_TOPOLOGY, encoding="utf-8")
        (topologies / "test_cells.py").write_text(_CELLS, encoding="utf-8")
        conftest = (REPOSITORY / "tests" / "night_cells.py").read_text(encoding="utf-8")
        (topologies / "conftest.py").write_text(conftest, encoding="utf-8")
        self.told = folder / "told"
        self.told.touch()

    def start(self, *words: str, **env: str) -> subprocess.Popen[str]:
        """Begin a nightly."""
        command = [sys.executable, "-m", "lab", "--lab-toml", str(self.folder / "lab.toml")]
        return subprocess.Popen(
            [*command, "nightly", "--reports", str(self.folder / "reports"), *words],
            env={**os.environ, "PYTHONPATH": _path(), "NIGHT_TOLD": str(self.told), **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def night(self, *words: str, **env: str) -> tuple[int, str]:
        """Let one go to its end; give its status and what it said."""
        with self.start(*words, **env) as process:
            said, _ = process.communicate(timeout=120)
        return process.returncode, said

    @property
    def keys(self) -> list[str]:
        """All cells that were run, in order."""
        return self.told.read_text(encoding="utf-8").split()

    def until_cells(self, count: int, process: subprocess.Popen[str]) -> None:
        """Wait until so many cells have ended."""

        def enough() -> bool | None:
            assert process.poll() is None, process.communicate()
            return True if len(self.keys) >= count else None

        until(f"cell {count}", enough, Deadline.after(60), every=0.05)

    def until_free(self) -> None:
        """Wait until what a killed nightly had begun has ended."""

        def free() -> bool | None:
            lock = self.folder / "state" / "nightly.lock"
            done = subprocess.run(["flock", "-n", str(lock), "true"], check=False)
            return done.returncode == 0 or None

        until("the end of the killed one's child", free, Deadline.after(60), every=0.1)


def _path() -> str:
    return os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH", ""))))


@pytest.fixture
def nights() -> Iterator[Nights]:
    with tempfile.TemporaryDirectory(prefix="lab-night-") as folder:
        Path(folder).chmod(0o755)  # QEMU could enter it, which pytest's own it could not
        yield Nights(Path(folder))


@pytest.fixture(autouse=True, scope="module")
def _can_work() -> None:
    from lab.cli.settings import Settings  # noqa: PLC0415 - only for this question
    from lab.errors import LabError  # noqa: PLC0415
    from lab.stand.doctor import insist  # noqa: PLC0415

    try:
        insist(Settings().lab())
    except LabError as e:
        pytest.skip(f"the lab cannot work here: {e}")


def test_a_night_does_the_ladder_twice_and_says_how_long_it_takes(nights: Nights) -> None:
    status, said = nights.night()

    assert status == 0, said
    assert len(nights.keys) == 6
    assert [key.endswith("#2") for key in nights.keys] == [False] * 3 + [True] * 3
    assert "6 of 6 cells, about 0.0 s left" in said
    record = load(nights.folder / "reports" / "latest")
    assert record.resumed == ()
    assert "AS EXPECTED: 6 of 6" in said
    assert not (nights.folder / "state" / night.STATE).exists()
    assert "6 passed" in (nights.folder / "reports" / "latest" / "pytest.log").read_text("utf-8")


def test_a_night_that_is_killed_is_gone_on_with_and_says_so(nights: Nights) -> None:
    with nights.start(NIGHT_CELL_S="0.8") as first:
        nights.until_cells(2, first)
        first.kill()
    nights.until_free()
    before = set(nights.keys)
    assert len(before) < 6

    status, said = nights.night()

    assert status == 0, said
    assert "which was stopped" in said
    assert sorted(nights.keys) == sorted(set(nights.keys))
    assert len(nights.keys) == 6
    assert before < set(nights.keys)
    latest = nights.folder / "reports" / "latest"
    assert len(load(latest).resumed) == 1
    assert "It was stopped and gone on with" in (latest / "index.html").read_text("utf-8")
    assert len([p for p in latest.parent.iterdir() if p.name.startswith("2") and p.is_dir()]) == 1


def test_a_night_that_was_killed_when_all_was_run_has_only_to_report(nights: Nights) -> None:
    assert nights.night(NIGHT_CELL_S="0.01")[0] == 0
    record = load(nights.folder / "reports" / "latest")
    state = nights.folder / "state"
    reports = str(nights.folder / "reports")
    night.remember(
        state,
        Night(run_id=record.run_id, reports=reports, tier="nightly", began=record.started, pid=1),
    )

    status, said = nights.night()

    assert status == 0, said
    assert len(nights.keys) == 6
    assert not (state / night.STATE).exists()


def test_a_night_that_is_asked_to_stop_says_how_to_go_on(nights: Nights) -> None:
    with nights.start(NIGHT_CELL_S="0.8") as process:
        nights.until_cells(1, process)
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=60)

    assert process.returncode == 128 + signal.SIGTERM
    assert "to go on with this night, type: lab nightly" in said
    assert nights.night()[0] == 0
    assert len(set(nights.keys)) == 6


def test_two_nights_at_once_are_refused_and_harm_nothing(nights: Nights) -> None:
    with nights.start(NIGHT_CELL_S="0.8") as first:
        nights.until_cells(1, first)
        status, said = nights.night()
        assert status == 125
        assert "another nightly is at work: run " in said
        assert f"process {first.pid}" in said
        out, _ = first.communicate(timeout=60)
    assert first.returncode == 0, out
    assert len(nights.keys) == 6


@pytest.mark.parametrize(("verdict", "status"), [("Lost", 1), ("Unproven", 125)])
def test_the_product_and_the_lab_are_told_apart(nights: Nights, verdict: str, status: int) -> None:
    came, said = nights.night(NIGHT_VERDICT=verdict, NIGHT_CELL_S="0.01")
    assert came == status, said


def test_a_night_that_has_no_time_left_ends_and_says_what_it_left(nights: Nights) -> None:
    toml = nights.folder / "lab.toml"
    toml.write_text(_LAB.replace("repeat = 2", "repeat = 2\nat_most_s = 4.0"), encoding="utf-8")

    status, said = nights.night(NIGHT_CELL_S="1.5")

    assert status == 125, said
    page = (nights.folder / "reports" / "latest" / "index.html").read_text(encoding="utf-8")
    assert "The time was up after 4.0 s" in page
    assert "it was planned and left no record" in page


def test_a_mistake_in_a_topology_is_said_and_is_not_the_products_fault(nights: Nights) -> None:
    toml = nights.folder / "topologies" / "toy.toml"
    toml.write_text(_TOPOLOGY.replace("[host.a]", '[host.a]\nkernel = "mine"'), encoding="utf-8")

    status, said = nights.night()

    assert status == 125
    assert "no kernel 'mine' is defined" in said
    assert not (nights.folder / "state" / night.STATE).exists()


def _beside(nights: Nights) -> None:
    (nights.folder / "topologies" / "test_beside.py").write_text(_BESIDE, encoding="utf-8")


def test_tests_beside_the_cells_are_counted_and_told_once(nights: Nights) -> None:
    _beside(nights)
    with nights.start(NIGHT_CELL_S="0.8") as first:
        nights.until_cells(4, first)  # two of them are tests
        first.kill()
    nights.until_free()

    status, said = nights.night()

    assert status == 0, said
    assert sorted(nights.keys[:2]) == ["first", "second"]
    assert nights.keys.count("first") == 1
    assert "6 of 6 cells, 2 of 2 tests beside them, about 0.0 s left" in said
    assert "AS EXPECTED: 6 of 6 cells as expected, 2 of 2 tests beside them passed" in said


@pytest.mark.parametrize(
    ("how", "status", "word", "why"),
    [
        ("wrong", 1, "(1 failed)", "so it was told"),
        ("broken", 125, "(1 broke)", "ValueError: invalid literal"),
    ],
)
def test_a_test_beside_the_cells_that_fails_is_in_the_report(
    nights: Nights, how: str, status: int, word: str, why: str
) -> None:
    _beside(nights)
    came, said = nights.night(NIGHT_BESIDE=how)
    assert came == status, said
    assert f"1 of 2 tests beside them passed {word}" in said
    latest = nights.folder / "reports" / "latest"
    for name in ("index.html", "summary.md", "junit.xml", "results.ktap"):
        text = (latest / name).read_text(encoding="utf-8")
        assert "test_beside.py" in text, name
        assert "test_second" in text.replace("\\", ""), name
    assert why in (latest / "index.html").read_text(encoding="utf-8")


def test_a_night_that_has_only_tests_left_goes_on_with_them(nights: Nights) -> None:
    (nights.folder / "topologies" / "test_last.py").write_text(
        _BESIDE.replace('told("second")', 'told("second"); import time; time.sleep(3)'),
        encoding="utf-8",
    )
    with nights.start() as first:
        nights.until_cells(8, first)
        first.kill()
    nights.until_free()
    status, said = nights.night()
    assert status == 0, said
    assert nights.keys[-2:] == ["second", "second"]
    assert "2 of 2 tests beside them passed" in said


def test_other_options_begin_another_night(nights: Nights) -> None:
    with nights.start(NIGHT_CELL_S="0.8") as first:
        nights.until_cells(1, first)
        first.kill()
    nights.until_free()
    status, said = nights.night("-k", "spinner")
    assert status == 0, said
    assert "had other options: beginning anew" in said


def test_the_time_left_comes_from_the_history_and_guesses_are_called_so(tmp_path: Path) -> None:
    plan = tuple(PlannedCell(id=i, repeat=n) for n in (1, 2) for i in ("a", "b"))
    folder = fragments.begin(tmp_path, RunHeader(run_id="x", started=STARTED, planned=plan))
    now = datetime.now(UTC)
    known = night.progress(folder, {"a": 30.0, "b": 90.0}, since=now)
    assert (known.done, known.planned, known.left_s, known.guesses) == (0, 4, 240.0, 0)
    assert str(known) == "0 of 4 cells, about 4 min 00 s left"
    fragments.write_cell(folder, cell("b"))
    assert night.progress(folder, {"a": 30.0, "b": 90.0}, since=now).left_s == 150.0
    half = night.progress(folder, {"a": 30.0}, since=now)
    assert (half.done, half.left_s, half.guesses) == (1, 90.0, 1)
    assert "(1 of 3 are guesses)" in str(half)
