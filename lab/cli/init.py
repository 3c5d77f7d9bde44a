# SPDX-License-Identifier: Apache-2.0
"""`lab init`: a folder to work in, for a lab that was not cloned but installed."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from lab import data
from lab.cli.paths import at_home
from lab.cli.settings import out
from lab.errors import ConfigError

_LADDER = ("*.toml", "test_cells.py")
_BESIDE = ("conftest.py", "test_*.py")
_NEXT = (
    ("lab doctor", "what is missing on this machine"),
    ("lab ladder", "which cells there are, and what is expected of each"),
    ("lab run --disruption vmm-kill --expect dies", "one of them, on a fresh host"),
    ("pytest topologies", "all of tier ci"),
)


def register(app: typer.Typer) -> None:
    """Add this command.

    Args:
        app: The `lab` command.
    """
    app.command()(init)


def init(
    folder: Annotated[
        Path, typer.Argument(callback=at_home, help="Made if it is not there.")
    ] = Path(),
    *,
    tests: Annotated[
        bool, typer.Option("--tests", help="Also the tests beside the cells: of orphans, say.")
    ] = False,
) -> None:
    """Write lab.toml and topologies/ into a folder; overwrite nothing."""
    patterns = (*_LADDER, *(_BESIDE if tests else ()))
    topologies = sorted({p for pattern in patterns for p in data.TOPOLOGIES.glob(pattern)})
    copies = {folder / path.relative_to(data.ROOT): path for path in (data.LAB_TOML, *topologies)}
    _copy(copies, folder)
    out.print(f"wrote lab.toml and {len(topologies)} files in topologies/", markup=False)
    begin = () if folder.resolve() == Path.cwd() else ((shlex.join(["cd", str(folder)]), ""),)
    _show_next((*begin, *_NEXT))


def _copy(copies: dict[Path, Path], folder: Path) -> None:
    """Copy each value to its key, or nothing at all.

    Raises:
        ConfigError: One is there already, or cannot be written.
    """
    for copy in copies:
        if os.path.lexists(copy):
            hint = "name another folder: lab init FOLDER"
            raise ConfigError(f"{copy} is there already, and is not overwritten", hint=hint)
    try:
        for copy, original in copies.items():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(original, copy)
    except OSError as e:
        raise ConfigError(f"{e.filename or folder}: cannot be written: {e.strerror}") from e


def _show_next(lines: Sequence[tuple[str, str]]) -> None:
    width = max(len(command) for command, _ in lines)
    out.print("\nnext:", markup=False)
    for command, why in lines:
        told = f"  {command:{width}}   # {why}" if why else f"  {command}"
        out.print(told, markup=False, soft_wrap=True)
