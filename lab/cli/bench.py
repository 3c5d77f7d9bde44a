# SPDX-License-Identifier: Apache-2.0
"""`lab bench`: how fast the lab is on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from lab.bench import beacon
from lab.bench.boots import ROUNDS, bench
from lab.bench.swallowed import bench_swallowed, lines
from lab.cli.paths import at_home
from lab.cli.progress import progress_on
from lab.cli.settings import Settings, err, out
from lab.config.cell_request import CellRequest
from lab.config.model import Accel, Arch, Dies, DisruptionKind
from lab.record.files import write_text
from lab.runner.lab_session import opened


def register(app: typer.Typer) -> None:
    """Add this command.

    Args:
        app: The `lab` command.
    """
    app.command("bench")(measure)


def measure(
    ctx: typer.Context,
    rounds: Annotated[int, typer.Option(min=1, help="How often each boot is timed.")] = ROUNDS,
    to: Annotated[Path, typer.Option(callback=at_home, help="The JSON file to write.")] = Path(
        "reports/bench.json"
    ),
) -> None:
    """Measure boots, a cell, what beacons and being swallowed cost, in ratios; run nothing else."""
    settings: Settings = ctx.obj
    lab = settings.lab()
    with progress_on(err, everything=settings.debug) as sink, opened(lab, sink) as lab_session:
        accel: Accel = lab_session.accelerator(Arch.X86_64, lab.kernel_for("stock")).accel
        cell = CellRequest(disruption=DisruptionKind.VMM_KILL, expect=Dies()).cell(lab, accel=accel)
        found = {
            **bench(lab_session, cell, rounds),
            "beacon": beacon.bench_beacon(lab_session, rounds),
            "swallowed": bench_swallowed(lab_session, rounds),
        }
    to.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(found, indent=1)
    write_text(to, f"{text}\n")
    out.print(text, markup=False, soft_wrap=True)
    for line in (*beacon.lines(found["beacon"]), *lines(found["swallowed"])):
        err.print(line, markup=False, soft_wrap=True)
