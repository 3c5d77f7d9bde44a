# SPDX-License-Identifier: Apache-2.0
"""The command that a report names for running one cell again; pure but for the working folder."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from lab.config.load import usual_toml


def rerun_command(cell_id: str, *, toml: Path, options: Sequence[str] = ()) -> str:
    """Return the command line that runs only this cell again.

    Args:
        cell_id: Its id. It names the accelerator, and finds the
            host, the expectation and the tier, so that no option has to repeat them.
        toml: The lab.toml of this run; it is named unless `lab` reads it anyway.
        options: Where it is, if not in the topologies beside `toml`: "--topology=FILE"; and what
            else changes the result: "--lab-kernel=TREE", "--expect=WORD".

    Returns:
        One line for a shell.
    """
    return shlex.join(["lab", *toml_option(toml), "run", cell_id, *options])


def toml_option(toml: Path) -> list[str]:
    """Return the option of `lab` that names a lab.toml.

    Args:
        toml: The file.

    Returns:
        One word; none, if `lab` reads that file anyway.
    """
    same = toml.resolve() == usual_toml().resolve()
    return [] if same else [f"--lab-toml={toml}"]
