# SPDX-License-Identifier: Apache-2.0
"""Paths of a command line: a shell leaves '~' in --reports=~/x and in a variable of CI as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def at_home(path: Path | None) -> Path | None:
    """Return a path of a command line with '~' or '~user' replaced by that home.

    Args:
        path: As it was typed; None if it was not.

    Returns:
        The path; None if there is none.

    Raises:
        typer.BadParameter: There is no such user.
    """
    try:
        return path.expanduser() if path is not None else None
    except RuntimeError as e:
        raise typer.BadParameter(f"'{path}' begins with the home of an unknown user") from e


Into = Annotated[
    Path,
    typer.Option(envvar="LAB_REPORTS", callback=at_home, help="Where the run's folder is made."),
]
"""The option --reports of what makes a run."""
