# SPDX-License-Identifier: Apache-2.0
"""The one gate to the network: closed by `--offline`, and by LAB_OFFLINE in the environment.

It is a variable and no argument, so that every program of the lab that is started beneath obeys it.
"""

from __future__ import annotations

import os

from lab.errors import OfflineError

VARIABLE = "LAB_OFFLINE"
_OFF = frozenset({"", "0", "f", "false", "n", "no", "off"})  # as typer reads a variable


def close_gate() -> None:
    """Keep this process, and every lab that it starts, from the network."""
    os.environ[VARIABLE] = "1"


def is_offline() -> bool:
    """Return whether the gate is closed.

    Returns:
        True if LAB_OFFLINE is set, and not to 0.
    """
    return os.environ.get(VARIABLE, "").casefold() not in _OFF


def pass_gate(doing: str) -> None:
    """Go to the network, if that is allowed.

    Args:
        doing: What for, as a phrase: "fetching the package index".

    Raises:
        OfflineError: It is not.
    """
    if is_offline():
        raise OfflineError(
            f"{doing} needs the network, and the lab is offline ({VARIABLE} or --offline)",
            hint="run it once with a network, or bring a cache that has it: lab cache import FILE",
        )
