# SPDX-License-Identifier: Apache-2.0
"""The exit status of commands that judge: 125 for whatever kept them from it, with its traceback.

`git bisect run` takes any status from 1 to 127 but 125 for a bad commit. So no error of the lab
may end such a command with Python's 1, or with the 120 of an output that nobody reads.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import typer

from lab.cli.settings import err
from lab.errors import ConfigError, LabError
from lab.record.classify import CANNOT_TELL
from lab.record.files import write_text
from lab.redact import redacted

FOLDER = "cannot-tell"  # below the folder of all runs
# A mistake in what was typed, and typer's own ways to end a command; it brings its own click.
_MISTAKES: tuple[type[BaseException], ...] = (
    ConfigError,
    typer.Exit,
    typer.Abort,
    typer.BadParameter.__mro__[1],
)


def status_of(
    command: Callable[[], int], reports: Path, *, debug: bool, started: bool = False
) -> int:
    """Run what judges; whatever exception keeps it from judging is no verdict.

    Args:
        command: What judges; returns an exit status.
        reports: The folder of all runs; the traceback goes to a file below it.
        debug: Whether the traceback is printed, too.
        started: Whether all that was typed is checked: then no error is the user's mistake.

    Returns:
        What it returned; 125 where an exception kept it from judging.

    Raises:
        ConfigError: what was typed, or lab.toml, is wrong, and nothing was started.
    """
    try:
        status = command()
    except _MISTAKES as e:
        if not (started and isinstance(e, ConfigError)):
            raise
        return _told(e, reports, debug=debug)
    except BrokenPipeError:
        _read_no_more()
        return CANNOT_TELL
    except Exception as e:  # noqa: BLE001 - whatever it is, it says nothing about the product
        return _told(e, reports, debug=debug)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _read_no_more()
    return status


def _told(error: Exception, reports: Path, *, debug: bool) -> int:
    """Print what broke, keep its traceback, and return 125."""
    text = redacted("".join(traceback.format_exception(error)))
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}.txt"
    said = str(error) if isinstance(error, LabError) else f"{type(error).__name__}: {error}"
    _say(f"lab: cannot tell: {redacted(said)}")
    try:
        (reports / FOLDER).mkdir(parents=True, exist_ok=True)
        write_text(reports / FOLDER / name, text)
        _say(f"its traceback: {reports / FOLDER / name}")
    except (OSError, LabError):  # then the terminal is the only place
        debug = True
    if debug:
        _say(text)
    return CANNOT_TELL


def _read_no_more() -> None:
    """Drop what is left for a reader that is gone: Python would end with status 120 for it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _say(text: str) -> None:
    err.print(text, markup=False, soft_wrap=True)
