# SPDX-License-Identifier: Apache-2.0
"""What was seen of each mode of hosts on this machine, last: for `lab doctor`."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from lab.config.model import Arch, HostMode

_FILE = "modes.json"


def note(state: Path, arch: Arch, mode: HostMode, proof: str) -> None:
    """Remember what proved a host's mode; nobody's work depends on it."""
    known = {**_known(state), _key(arch, mode): proof}
    new = state / f"{_FILE}.{os.getpid()}"
    with contextlib.suppress(OSError):
        new.write_text(json.dumps(known, indent=1), encoding="utf-8")
        new.replace(state / _FILE)


def last(state: Path, arch: Arch, mode: HostMode) -> str:
    """Give what proved it last; empty if no such host was up yet."""
    return _known(state).get(_key(arch, mode), "")


def _known(state: Path) -> dict[str, str]:
    try:
        known = json.loads((state / _FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _key(arch: Arch, mode: HostMode) -> str:
    return f"{arch.value} {mode.value}"
