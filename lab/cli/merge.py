# SPDX-License-Identifier: Apache-2.0
"""`lab merge`: the shards of a run put together, and judged as the one run that they are."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated

import typer

from lab.cli.cannot_tell import status_of
from lab.cli.reports import Reports, known_of
from lab.cli.settings import Settings, out
from lab.cli.verify import folder_of
from lab.record.classify import exit_status, headline, must_run_gaps
from lab.report import publish
from lab.verify.merging import merge


def register(app: typer.Typer) -> None:
    """Add this command.

    Args:
        app: The `lab` command.
    """
    app.command("merge")(merge_runs)


def merge_runs(
    ctx: typer.Context,
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN", help="Each shard of --lab-shard: its id or its folder."),
    ],
    *,
    reports: Reports = Path("reports"),
    run_id: Annotated[
        str, typer.Option(help="The name of the merged run; a random one without it.")
    ] = "",
) -> int:
    """Merge the shards of a run into one run, check it as a whole, and make its report.

    The shards' files must be those of their hash trees. One that is missing, there twice, or of
    another commit is an error. Exit status: that of the merged run, as of pytest topologies.
    """
    settings: Settings = ctx.obj

    def command() -> int:
        lab = settings.lab()
        folders = [folder_of(run, reports) for run in runs]
        folder = merge(folders, reports.absolute(), run_id=run_id or secrets.token_hex(3))
        notes: list[str] = []
        record = publish.file(
            folder,
            known=known_of(settings),
            keep=lab.report.keep,
            sign_with=lab.report.sign_with,
            tell=notes.append,
        )
        lines = [f"{cell.key}: {cell.lacks}" for cell in record.cells if cell.lacks]
        for line in (headline(record), *map(str, must_run_gaps(record)), *lines, *notes):
            out.print(line, markup=False, soft_wrap=True)
        out.print(f"report: {folder / 'index.html'}", markup=False, soft_wrap=True)
        return exit_status(record)

    return status_of(command, reports.absolute(), debug=settings.debug)
