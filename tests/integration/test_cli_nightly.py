# SPDX-License-Identifier: Apache-2.0
"""`lab nightly` as a command: killed and resumed, two at once, and which side is to blame."""

from __future__ import annotations

import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lab.history import night
from lab.history.night import Night
from lab.record import shards
from lab.record.files import load
from lab.record.model import PlannedCell, RunHeader
from tests.support.nights import LAB, TOPOLOGY, Nights
from tests.support.records import STARTED, cell


def test_night_runs_the_ladder_twice_and_reports_durations(nights: Nights) -> None:
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
    assert "It was stopped and resumed" in (latest / "index.html").read_text("utf-8")
    assert len([p for p in latest.parent.iterdir() if p.name.startswith("2") and p.is_dir()]) == 1


def test_night_killed_after_its_last_cell_only_reports(nights: Nights) -> None:
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
    assert "to resume this night, type: lab nightly" in said
    assert nights.night()[0] == 0
    assert len(set(nights.keys)) == 6


def test_two_nights_at_once_are_refused_and_harm_nothing(nights: Nights) -> None:
    with nights.start(NIGHT_CELL_S="0.8") as first:
        nights.until_cells(1, first)
        status, said = nights.night()
        assert status == 125
        assert "another nightly is running: run " in said
        assert f"process {first.pid}" in said
        out, _ = first.communicate(timeout=60)
    assert first.returncode == 0, out
    assert len(nights.keys) == 6


@pytest.mark.parametrize(("verdict", "status"), [("Lost", 1), ("Unproven", 125)])
def test_the_product_and_the_lab_are_told_apart(nights: Nights, verdict: str, status: int) -> None:
    came, said = nights.night(NIGHT_VERDICT=verdict, NIGHT_CELL_S="0.01")
    assert came == status, said


def test_night_out_of_time_ends_and_names_what_is_left(nights: Nights) -> None:
    toml = nights.folder / "lab.toml"
    toml.write_text(LAB.replace("repeat = 2", "repeat = 2\nat_most_s = 4.0"), encoding="utf-8")

    status, said = nights.night(NIGHT_CELL_S="1.5")

    assert status == 125, said
    page = (nights.folder / "reports" / "latest" / "index.html").read_text(encoding="utf-8")
    assert "The time was up after 4.0 s" in page
    assert "it was planned and left no record" in page


def test_topology_error_is_reported_as_usage_not_as_failure(nights: Nights) -> None:
    toml = nights.folder / "topologies" / "toy.toml"
    toml.write_text(TOPOLOGY.replace("[host.a]", '[host.a]\nkernel = "mine"'), encoding="utf-8")

    status, said = nights.night()

    assert status == 125
    assert "no kernel 'mine' is defined" in said
    assert not (nights.folder / "state" / night.STATE).exists()


def test_other_options_begin_another_night(nights: Nights) -> None:
    with nights.start(NIGHT_CELL_S="0.8") as first:
        nights.until_cells(1, first)
        first.kill()
    nights.until_free()
    status, said = nights.night("-k", "spinner")
    assert status == 0, said
    assert "had other options: starting a new one" in said


def test_a_selection_that_matches_nothing_is_a_mistake(nights: Nights) -> None:
    status, said = nights.night("-k", "spiner")

    assert status == 2, said
    assert "no test was chosen: -k 'spiner' matches no cell; close to it: " in said
    assert not (nights.folder / "state" / night.STATE).exists()


def test_time_left_comes_from_history_and_guesses_say_so(tmp_path: Path) -> None:
    plan = tuple(PlannedCell(id=i, repeat=n) for n in (1, 2) for i in ("a", "b"))
    folder = shards.begin(tmp_path, RunHeader(run_id="x", started=STARTED, planned=plan))
    now = datetime.now(UTC)
    known = night.progress(folder, {"a": 30.0, "b": 90.0}, since=now)
    assert (known.done, known.planned, known.left_s, known.guesses) == (0, 4, 240.0, 0)
    assert str(known) == "0 of 4 cells, about 4 min 00 s left"
    shards.write_cell(folder, cell("b"))
    assert night.progress(folder, {"a": 30.0, "b": 90.0}, since=now).left_s == 150.0
    half = night.progress(folder, {"a": 30.0}, since=now)
    assert (half.done, half.left_s, half.guesses) == (1, 90.0, 1)
    assert "(1 of 3 are guesses)" in str(half)
