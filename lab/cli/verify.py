# SPDX-License-Identifier: Apache-2.0
"""`lab verify`: a run judged again by its evidence, and told apart from what it was."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from lab.cli.cannot_tell import status_of
from lab.cli.paths import at_home
from lab.cli.reports import AsJson, Reports
from lab.cli.settings import Settings, out
from lab.errors import ConfigError
from lab.record.classify import AS_EXPECTED, CANNOT_TELL, NOT_AS_EXPECTED
from lab.report import index
from lab.verify.cell import State, VerifiedCell
from lab.verify.plain_files import printable
from lab.verify.run import VerifiedRun, verify
from lab.verify.signature import fingerprint

_LAST = "last"
_MOST = 8  # reasons of one cell
_MEANING = {
    AS_EXPECTED: "every verdict, check and figure comes out the same",
    NOT_AS_EXPECTED: "something differs",
    CANNOT_TELL: "cannot tell",
}
_WELL = frozenset({State.VERIFIED, State.UNJUDGED})


def register(app: typer.Typer) -> None:
    """Add this command.

    Args:
        app: The `lab` command.
    """
    app.command("verify")(verify_run)


def verify_run(
    ctx: typer.Context,
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, its folder, or 'last'.")],
    *,
    reports: Reports = Path("reports"),
    signed_by: Annotated[
        Path | None,
        typer.Option(
            callback=at_home,
            help="The public key that has to have signed it, if not sign_with of lab.toml.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Judge the evidence of a run again, and tell what was changed since.

    Evidence, record and judge are told apart, each with its file or figure. Exit status: 0 all
    comes out the same, 1 something differs, 125 cannot tell, 2 a mistake in what was typed.
    """
    settings: Settings = ctx.obj

    def command() -> int:
        folder = folder_of(run, reports)
        key = signed_by or settings.lab().report.sign_with
        found = verify(folder, trusted=fingerprint(key) if key else "")
        if as_json:
            typer.echo(json.dumps(_json(found), indent=1))
        else:
            _show(found)
        return found.status

    return status_of(command, reports.absolute(), debug=settings.debug)


def folder_of(run: str, reports: Path) -> Path:
    """Return the folder of a run.

    Args:
        run: Its id, its folder, or "last".
        reports: The folder of all runs.

    Raises:
        ConfigError: There is no such run, or more than one.
    """
    folder = reports / "latest" if run == _LAST else Path(run)
    if not folder.is_dir() and run != _LAST:
        named = [path for path in index.folders(reports) if path.name.endswith(f"-{run}")]
        if len(named) > 1:
            names = ", ".join(path.name for path in named)
            raise ConfigError(f"{len(named)} runs have the id {run!r}: {names}", hint="type one")
        folder = named[0] if named else folder
    if not folder.is_dir():
        raise ConfigError(f"no run {run!r} in {reports}", hint=f"try: ls {reports}")
    if not ((folder / "run.json").exists() or (folder / "header.json").exists()):
        raise ConfigError(f"{folder} is no run: it has no run.json", hint=f"try: ls {reports}")
    return folder.resolve()


def _json(found: VerifiedRun) -> dict[str, object]:
    return {
        "folder": str(found.folder),
        "status": found.status,
        "hash_tree": found.root,
        "signed_by": found.signed_by,
        "differs": list(found.differs),
        "untold": list(found.untold),
        "cells": [
            {
                "cell": cell.cell,
                "state": cell.state.value,
                "reasons": list(cell.reasons),
                "took_s": round(cell.took_s, 3),
            }
            for cell in found.cells
        ],
    }


def _show(found: VerifiedRun) -> None:
    _line(f"run: {found.folder.name}")
    signed = f"signed by {found.signed_by}" if found.signed_by else "not signed"
    _line(f"hash tree: {found.root or 'none'}, {signed}")
    for said in found.differs:
        _line(f"differs: {said}")
    for said in found.untold:
        _line(f"cannot be told: {said}")
    for cell in found.cells:
        if cell.state not in _WELL:
            _show_cell(cell)
    counts = Counter(cell.state for cell in found.cells)
    _line(", ".join(f"{counts[s]} {s.value}" for s in State if counts[s]) or "no cell")
    _line(f"exit status {found.status}: {_MEANING[found.status]}")


def _show_cell(cell: VerifiedCell) -> None:
    _line(f"{cell.cell}: {cell.state.value}")
    for reason in cell.reasons[:_MOST]:
        _line(f"  {reason}")
    if len(cell.reasons) > _MOST:
        _line(f"  and {len(cell.reasons) - _MOST} more: --json has all")


def _line(text: str) -> None:
    out.print(printable(text), markup=False, soft_wrap=True)
