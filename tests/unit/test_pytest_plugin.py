# SPDX-License-Identifier: Apache-2.0
"""pytest's edge: what is collected, without a hypervisor; what a resumed run leaves out."""

from __future__ import annotations

import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab.cli import main
from lab.config.load import load_lab, load_topologies
from lab.config.matrix import expand, select
from lab.config.model import Cell, Tier
from lab.pytest_plugin import run_of
from lab.pytest_plugin.collecting import give_time
from lab.pytest_plugin.record import Recorder
from lab.pytest_plugin.resume import configuration_of
from lab.pytest_plugin.run import Run
from lab.record import shards
from lab.record.model import CellRecord, Outcome, PlanRecord, RunHeader
from lab.record.plan import planned

CHECKOUT = Path(__file__).parents[2]


def collect(
    *options: str, cells: tuple[str, ...] = ("topologies/test_cells.py",)
) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "pytest", *cells, "--collect-only", "-q"]
    return subprocess.run(
        [*argv, "-p", "no:cacheprovider", *options],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture(scope="module")
def cells() -> tuple[Cell, ...]:
    lab = load_lab(CHECKOUT / "lab.toml")
    topologies = load_topologies(CHECKOUT / "topologies", lab)
    return select(expand(topologies, lab, accel="tcg"), Tier.CI)


def ended(cell: Cell, outcome: Outcome) -> CellRecord:
    plan = planned(cell)
    return CellRecord(
        **{name: getattr(plan, name) for name in type(plan).model_fields}, outcome=outcome
    )


def test_cells_are_collected_without_a_hypervisor(tmp_path: Path) -> None:
    toml = tmp_path / "lab.toml"
    text = (CHECKOUT / "lab.toml").read_text(encoding="utf-8")
    recipe = CHECKOUT / "guest-images" / "kernels" / "stock"
    text = text.replace('uris = ["auto"]', 'uris = ["qemu+ssh://nobody@nowhere.invalid/system"]')
    toml.write_text(text.replace('recipe = "stock"', f'recipe = "{recipe}"'), encoding="utf-8")

    said = collect(f"--lab-toml={toml}", "--lab-accel=tcg")

    assert said.returncode == 0, said.stdout + said.stderr
    assert "test_guest[x86_64-tcg-stock-linux-qemu-vmm_kill]" in said.stdout


@pytest.mark.parametrize(
    ("limit", "kexecs", "given"),
    [
        ("600", 1, []),
        ("600", 3, [720.0]),
        ("0", 3, []),
        pytest.param("", 1, [600.0], id="no-limit-of-the-project"),
        pytest.param(None, 3, [720.0], id="no-limit-of-the-project-in-older-pytest"),
    ],
)
def test_a_cell_of_many_kexecs_may_take_longer(
    limit: str | None,
    kexecs: int,
    given: list[float],
    cells: tuple[Cell, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PYTEST_TIMEOUT", raising=False)
    cell = cells[0]
    options = cell.options.model_copy(update={"kexecs": kexecs})
    marked: list[pytest.MarkDecorator] = []
    plugins = {"timeout"}
    item: Any = SimpleNamespace(
        callspec=SimpleNamespace(params={"cell": cell.model_copy(update={"options": options})}),
        config=SimpleNamespace(
            getini=lambda _: limit,
            getoption=lambda _: None,
            pluginmanager=SimpleNamespace(has_plugin=plugins.__contains__),
        ),
        add_marker=marked.append,
    )
    give_time(item)
    assert [mark.args[0] for mark in marked] == given
    plugins.clear()
    give_time(item)
    assert len(marked) == len(given)


def test_a_wrong_word_is_a_usage_error_that_names_the_option() -> None:
    said = collect("--lab-tier=weekly")

    assert said.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--lab-tier" in said.stderr + said.stdout


def begun(reports: Path, cells: tuple[Cell, ...], configuration: str) -> Path:
    header = RunHeader(
        run_id="abc123",
        started=datetime.now(UTC),
        planned=tuple(planned(cell) for cell in cells[:3]),
        versions={"configuration": configuration},
    )
    return shards.begin(reports, header)


def test_resumed_run_skips_judged_cells_and_repeats_broken_ones(
    tmp_path: Path, cells: tuple[Cell, ...]
) -> None:
    told, broke, never = cells[:3]
    folder = begun(tmp_path, cells, configuration_of(cells, ""))
    shards.write_cell(folder, ended(told, Outcome.PASSED))
    shards.write_cell(folder, ended(broke, Outcome.ERROR))

    said = collect("--lab-resume=last", f"--lab-reports={tmp_path}", "--lab-accel=tcg")

    assert said.returncode == 0, said.stdout + said.stderr
    assert f"[{told.id}]" not in said.stdout
    assert f"[{broke.id}]" in said.stdout
    assert f"[{never.id}]" in said.stdout


def test_a_run_is_not_resumed_with_another_kernel(tmp_path: Path, cells: tuple[Cell, ...]) -> None:
    begun(tmp_path, cells, configuration_of(cells, "~/src/linux"))

    said = collect("--lab-resume=last", f"--lab-reports={tmp_path}", "--lab-accel=tcg")

    assert said.returncode == pytest.ExitCode.USAGE_ERROR
    assert "other cells than these, or another kernel" in said.stderr + said.stdout


def test_a_run_that_is_not_resumed_is_left_as_it_is(
    tmp_path: Path, cells: tuple[Cell, ...]
) -> None:
    folder = begun(tmp_path, cells, configuration_of(cells, "~/src/linux"))
    header = (folder / "header.json").read_bytes()

    options = ("--lab-resume=last", f"--lab-reports={tmp_path}", "--lab-accel=tcg")
    command = [sys.executable, "-m", "pytest", str(CHECKOUT / "topologies"), *options]
    said = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)

    assert said.returncode == pytest.ExitCode.USAGE_ERROR, said.stdout + said.stderr
    assert (folder / "header.json").read_bytes() == header
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    assert not (folder / "run.json").exists()


def test_repeats_do_the_whole_ladder_before_any_of_it_again(cells: tuple[Cell, ...]) -> None:
    said = collect("--lab-repeat=2", "--lab-accel=tcg")

    names = [line.partition("[")[2][:-1] for line in said.stdout.splitlines() if "::" in line]
    ids = [cell.id for cell in cells]
    assert names == [*ids, *(f"{cell_id}#2" for cell_id in ids)]


def test_how_often_is_a_number_or_what_lab_toml_says(tmp_path: Path) -> None:
    said = collect("--lab-repeat=often")
    assert said.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--lab-repeat: expected a number or 'nightly'" in said.stdout + said.stderr

    text = (CHECKOUT / "lab.toml").read_text(encoding="utf-8")
    often = "repeats = {'x86_64-*-stock-linux-qemu-vmm_kill' = 3}"
    text = text.replace("repeat = 2 ", f"{often}\nrepeat = 1 ")
    recipe = CHECKOUT / "guest-images" / "kernels" / "stock"
    text = text.replace('recipe = "stock"', f'recipe = "{recipe}"')
    (tmp_path / "lab.toml").write_text(text, encoding="utf-8")
    said = collect("--lab-repeat=nightly", f"--lab-toml={tmp_path}/lab.toml", "--lab-accel=tcg")
    assert [line for line in said.stdout.splitlines() if "#" in line] == [
        f"topologies/test_cells.py::test_guest[x86_64-tcg-stock-linux-qemu-vmm_kill#{n}]"
        for n in (2, 3)
    ], said.stdout + said.stderr


def test_a_repeat_that_was_told_is_not_done_again(tmp_path: Path, cells: tuple[Cell, ...]) -> None:
    folder = begun(tmp_path, cells, configuration_of(cells, ""))
    shards.write_cell(folder, ended(cells[0], Outcome.PASSED))

    options = ("--lab-resume=last", f"--lab-reports={tmp_path}", "--lab-repeat=2")
    said = collect(*options, "--lab-accel=tcg")

    assert f"[{cells[0].id}]" not in said.stdout
    assert f"[{cells[0].id}#2]" in said.stdout


def test_the_id_of_another_run_is_refused(tmp_path: Path, cells: tuple[Cell, ...]) -> None:
    folder = begun(tmp_path, cells, "")

    said = collect("--lab-run-id=abc123", f"--lab-reports={tmp_path}")

    assert said.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"{folder.name} in {tmp_path} is another run of that id" in said.stderr + said.stdout


def test_a_run_ends_in_its_own_folder(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    shards.begin(tmp_path, RunHeader(run_id="twice", started=datetime(2026, 1, 1, tzinfo=UTC)))
    options = {"lab_run_id": "twice", "lab_started": "2026-02-01T00:00:00+00:00"}
    run = Run(pytestconfig, options)
    run.reports, run.before, run.is_worker = tmp_path, None, False
    mine = shards.begin(tmp_path, RunHeader(run_id="twice", started=run.started))
    session: Any = SimpleNamespace(items=[], exitstatus=0)

    Recorder(pytestconfig, run).pytest_sessionfinish(session)

    assert [path.parent for path in tmp_path.glob("2026*/run.json")] == [mine]
    assert session.exitstatus == 125  # it did not end


def test_there_must_be_a_run_to_resume(tmp_path: Path) -> None:
    said = collect("--lab-resume=last", f"--lab-reports={tmp_path}")

    assert said.returncode == pytest.ExitCode.USAGE_ERROR
    assert "no run 'last'" in said.stderr + said.stdout


def test_rerun_command_runs_exactly_that_cell(
    pytestconfig: pytest.Config, cells: tuple[Cell, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_of(pytestconfig)
    ids = [cell.id for cell in cells]
    cell = next(c for c in cells if sum(i.startswith(c.id) for i in ids) > 1)

    lab, *words = shlex.split(run.rerun(cell, CHECKOUT / "topologies"))
    assert lab == "lab"
    assert main([*words, "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith(f"cell: {cell.id}\n")


def test_a_resumed_run_takes_both_of_a_pair_or_neither(
    tmp_path: Path, cells: tuple[Cell, ...]
) -> None:
    pair = next(cell for cell in cells if cell.twin)
    control = next(cell for cell in cells if cell.id == pair.twin)
    others = [cell for cell in cells if cell.twin and control.id != cell.twin]
    lone, both = others[0], [others[1], next(c for c in cells if c.id == others[1].twin)]
    controls = {cell.id: cell.twin for cell in (pair, lone, both[0])}
    plan = PlanRecord(cells=5, checks=0, chosen_cells=5, chosen_checks=0, controls=controls)
    mine = (pair, control, lone, *both)
    header = RunHeader(
        run_id="abc123",
        started=datetime.now(UTC),
        planned=tuple(planned(cell) for cell in mine),
        versions={"configuration": configuration_of(cells, "")},
        plan=plan,
    )
    folder = shards.begin(tmp_path, header)
    for cell in (pair, lone, *both):  # the control of the first has no outcome yet
        shards.write_cell(folder, ended(cell, Outcome.PASSED))

    said = collect("--lab-resume=last", f"--lab-reports={tmp_path}", "--lab-accel=tcg")

    assert said.returncode == 0, said.stdout + said.stderr
    assert f"[{control.id}]" in said.stdout
    assert f"[{pair.id}]" in said.stdout
    assert not any(f"[{cell.id}]" in said.stdout for cell in both)
