# SPDX-License-Identifier: Apache-2.0
"""`lab doctor` and `lab ladder`: what this machine can run, and what is expected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.measure import Measurement

from lab.cli.paths import at_home
from lab.cli.settings import Settings, err, out
from lab.config.matrix import select
from lab.config.model import Tier
from lab.doctor.examine import examine
from lab.doctor.findings import Finding, Level
from lab.record.files import load
from lab.record.labels import result
from lab.record.plan import planned
from lab.report.ladder import ladder_table

_UNUSABLE = 1
_ANY = 10_000  # columns of a terminal
_MARKS = {Level.FINE: "ok", Level.LIMITS: "limits", Level.BROKEN: "BROKEN"}
_STYLES = {Level.FINE: "green", Level.LIMITS: "yellow", Level.BROKEN: "bold red"}


def register(app: typer.Typer) -> None:
    """Add these commands.

    Args:
        app: The `lab` command.
    """
    app.command()(doctor)
    app.command()(ladder)


def doctor(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Check this machine for what is missing or wrong; exit status 0 if the lab can work."""
    with err.status("checking this machine (libvirt may take 20 s at first)"):
        findings = examine(ctx.obj.lab())
    if as_json:
        typer.echo(json.dumps([f.model_dump(mode="json") for f in findings], indent=1))
    else:
        for finding in findings:
            _show(finding)
    broken = [f.subject for f in findings if f.level is Level.BROKEN]
    if not as_json:
        can = f"the lab cannot work: {', '.join(broken)}" if broken else "the lab can work here"
        out.print(f"\n{can}", markup=False, soft_wrap=True)
    return _UNUSABLE if broken else 0


def ladder(
    ctx: typer.Context,
    tier: Annotated[
        Tier, typer.Option(help="Which cells; each tier includes those before it.")
    ] = Tier.CI,
    results: Annotated[
        Path | None, typer.Option(callback=at_home, help="A run's folder: show its results, too.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the grid of all cells, and the expectation of each."""
    settings: Settings = ctx.obj
    lab = settings.lab()
    cells = select(settings.cells(lab, lab.host.accelerator), tier)
    plans = [planned(cell) for cell in cells]
    if as_json:
        told = [
            {**plan.model_dump(mode="json"), "twin": cell.twin}
            for plan, cell in zip(plans, cells, strict=True)
        ]
        typer.echo(json.dumps(told, indent=1))
        return
    expected = {plan.id: plan.expectation.word for plan in plans if plan.expectation}
    came = {cell.id: cell for cell in load(results).cells} if results else {}
    table = ladder_table(plans, expected=expected, results=came)
    if Measurement.get(out, out.options.update(max_width=_ANY), table).maximum <= out.width:
        out.print(table)
    else:  # too narrow for a grid
        for plan, cell in zip(plans, cells, strict=True):
            word = result(came[plan.id]) if plan.id in came else expected.get(plan.id, "")
            control = f"; its control: {cell.twin}" if cell.twin else ""
            out.print(f"{plan.id:60} {word}{control}", markup=False, soft_wrap=True)
    out.print(f"{len(plans)} cells of tier {tier.value}")


def _show(finding: Finding) -> None:
    mark = f"{_MARKS[finding.level]:7}"
    out.print(mark, style=_STYLES[finding.level], end="")
    out.print(f"{finding.subject}: {finding.cause}", markup=False, soft_wrap=True)
    if finding.level is not Level.FINE:
        for label, text in (("so", finding.consequence), ("type", finding.remedy)):
            if text:
                out.print(f"{'':7}{label}: {text}", markup=False, soft_wrap=True)
