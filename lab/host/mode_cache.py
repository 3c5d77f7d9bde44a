# SPDX-License-Identifier: Apache-2.0
"""The last proof of each host mode on this machine, for `lab doctor`."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from lab.config.model import Arch, HostMode

_FILE = "modes.json"


def note(state: Path, arch: Arch, mode: HostMode, proof: str) -> None:
    """Store what proved a host's mode; a state folder that cannot be written is no error.

    Args:
        state: The lab's state folder.
        arch: The host's architecture.
        mode: Its mode.
        proof: What `require_mode` returned.
    """
    known = {**_known(state), _key(arch, mode): proof}
    new = state / f"{_FILE}.{os.getpid()}"
    with contextlib.suppress(OSError):
        new.write_text(json.dumps(known, indent=1), encoding="utf-8")
        new.replace(state / _FILE)


def last(state: Path, arch: Arch, mode: HostMode) -> str:
    """Return what proved a mode the last time.

    Args:
        state: The lab's state folder.
        arch: The host's architecture.
        mode: Its mode.

    Returns:
        The proof; empty if no such host was up yet.
    """
    return _known(state).get(_key(arch, mode), "")


def _known(state: Path) -> dict[str, str]:
    try:
        known = json.loads((state / _FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _key(arch: Arch, mode: HostMode) -> str:
    return f"{arch.value} {mode.value}"
