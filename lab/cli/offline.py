# SPDX-License-Identifier: Apache-2.0
"""`--offline` behind the command, where one types it first: the same as `lab --offline`."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

from lab.build.offline import close_gate


def _closed(wanted: bool) -> bool:
    if wanted:
        close_gate()
    return wanted


Offline: TypeAlias = Annotated[
    bool,
    typer.Option("--offline", callback=_closed, help="Go to no network, as 'lab --offline'."),
]
"""The option's type; its parameter needs no reading."""
