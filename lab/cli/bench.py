# SPDX-License-Identifier: Apache-2.0
"""`lab bench`: how fast the lab is on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer

from lab.bench import beacon
from lab.bench.boots import ROUNDS, bench
from lab.bench.regression import regressions, slower, told
from lab.bench.swallowed import bench_swallowed, lines
from lab.cli.paths import at_home
from lab.cli.settings import Settings, err, out
from lab.config.cell_request import CellRequest
from lab.config.model import Accel, Arch, Dies, DisruptionKind, Tier
from lab.record import critical_path
from lab.record.files import write_text
from lab.report import index
from lab.report.progress import progress_on
from lab.runner.lab_session import opened


def register(app: typer.Typer) -> None:
    """Add this command.

    Args:
        app: The `lab` command.
    """
    app.command("bench")(measure)


def measure(
    ctx: typer.Context,
    *,
    rounds: Annotated[int, typer.Option(min=1, help="How often each boot is timed.")] = ROUNDS,
    to: Annotated[Path, typer.Option(callback=at_home, help="The JSON file to write.")] = Path(
        "reports/bench.json"
    ),
    reports: Annotated[
        Path, typer.Option(envvar="LAB_REPORTS", callback=at_home, help="The folder of runs.")
    ] = Path("reports"),
    tier: Annotated[
        Tier, typer.Option(help="Of which tier the last run's critical path is shown.")
    ] = Tier.CI,
    runs_only: Annotated[
        bool, typer.Option("--runs-only", help="Boot nothing: read earlier runs.")
    ] = False,
) -> None:
    """Measure boots, a cell, what beacons and being swallowed cost, in ratios; run nothing else.

    Shows what the length of the cell, and of the last run of a tier, came of, and what became
    slower by more than 15 % since the last bench and the run before.
    """
    settings: Settings = ctx.obj
    found, path, slow = of_runs(reports, tier.value)
    if runs_only:
        _tell(path, told(slow))
        return
    measured = _measured(settings, rounds)
    slow = [*regressions(measured, last_bench(to, reports)), *slow]
    to.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**measured, "run": found, "slower": slow}, indent=1)
    write_text(to, f"{text}\n")
    out.print(text, markup=False, soft_wrap=True)
    cell = measured["cell"]
    _tell(
        [*beacon.lines(measured["beacon"]), *lines(measured["swallowed"])],
        [f"critical path of {cell['id']}: {critical_path.told_phases(cell['phases'])}", *path],
        told(slow),
    )


def _measured(settings: Settings, rounds: int) -> dict[str, Any]:
    lab = settings.lab()
    with progress_on(err, everything=settings.debug) as sink, opened(lab, sink) as lab_session:
        accel: Accel = lab_session.accelerator(Arch.X86_64, lab.kernel_for("stock")).accel
        cell = CellRequest(disruption=DisruptionKind.VMM_KILL, expect=Dies()).cell(lab, accel=accel)
        return {
            **bench(lab_session, cell, rounds),
            "beacon": beacon.bench_beacon(lab_session, rounds),
            "swallowed": bench_swallowed(lab_session, rounds),
        }


def of_runs(reports: Path, tier: str) -> tuple[dict[str, Any] | None, list[str], list[str]]:
    """Return what the last run of a tier waited for, and what is slower than in the one before.

    Args:
        reports: The folder of all runs.
        tier: The tier, by its word.

    Returns:
        The path for JSON, or None if there is no such run; lines for people; what is slower.
    """
    of_tier = [run for _, run in index.records(reports) if run.tier == tier and run.ended]
    runs = sorted(of_tier, key=lambda run: run.started)[-2:]
    if not runs:
        return None, [f"no run of tier {tier} in {reports}: there is no critical path to show"], []
    last = runs[-1]
    path = critical_path.critical_path(critical_path.ran_in(last))
    slow = slower(last, runs[0]) if len(runs) > 1 else []
    if not path.links:
        return None, [f"run {last.run_id} is older than the times that a critical path needs"], slow
    found = {
        "run_id": last.run_id,
        "tier": tier,
        "seconds": path.length_s,
        "by_phase": path.by_phase,
        "links": [
            {"what": link.ran.what, "seconds": round(link.seconds, 3), "after": link.waited_for}
            for link in path.links
        ],
    }
    return found, [f"run {last.run_id}, tier {tier}:", *critical_path.lines(path)], slow


def last_bench(to: Path, reports: Path) -> dict[str, Any]:
    """Return what the newest bench before this one measured.

    Args:
        to: The file that is going to be written.
        reports: The folder of all runs, of which nightly ones have a bench.

    Returns:
        What is in its JSON file; nothing if there is none that can be read.
    """
    there = {path for path in (to, *reports.glob("bench.json"), *reports.glob("*/bench.json"))
             if path.is_file()}  # fmt: skip
    for path in sorted(there, key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            found = json.loads(path.read_bytes())
        except (OSError, ValueError):  # cut short
            continue
        if isinstance(found, dict):
            return found
    return {}


def _tell(*groups: Iterable[str]) -> None:
    for line in chain.from_iterable(groups):
        err.print(line, markup=False, soft_wrap=True)
