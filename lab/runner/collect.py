# SPDX-License-Identifier: Apache-2.0
"""What is kept of a cell: consoles, dmesg, domain XML; what cannot be had is named.

A guest prints its beacon's key on its console: no file is written without being redacted.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lab.errors import LabError
from lab.guest.guest import GuestPlan
from lab.host.host import RunningHost
from lab.redact import redacted, redacted_bytes

_SHORT_S = 15.0


def collect(folder: Path, host: RunningHost, plan: GuestPlan) -> dict[str, list[str]]:
    """Write the evidence of a cell; what cannot be had is named in missing.txt.

    Args:
        folder: Where.
        host: Its host.
        plan: Its guest.

    Returns:
        The lines of each console, by its file's name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    consoles = {}
    wanted: dict[str, Callable[[], bytes]] = {
        "host-console.log": lambda: "\n".join(host.console.lines()).encode(),
        "domain.xml": lambda: host.domain.xml().encode(),
        "guest-console.log": lambda: host.session.get(plan.console, timeout_s=_SHORT_S),
        "vmm.log": lambda: host.session.get(plan.log, timeout_s=_SHORT_S),
        "dmesg.txt": lambda: host.session.check(["dmesg"], timeout_s=_SHORT_S).encode(),
    }
    missing = []
    for name, get in wanted.items():
        try:
            raw = redacted_bytes(get())
            if name.endswith("-console.log"):
                consoles[name] = raw.decode("utf-8", "replace").splitlines()
            (folder / name).write_bytes(raw)
        except (LabError, OSError) as e:
            missing.append(f"{name}: {e}")
    if missing:
        text = redacted("\n".join(missing))
        (folder / "missing.txt").write_text(f"{text}\n", encoding="utf-8")
    return consoles


def collect_boot(folder: Path, console: Path | None) -> None:
    """Copy the console of a host that did not come up: its own folder goes when the run ends.

    Args:
        folder: Where; made if it is missing.
        console: The console's file; None if there is none.
    """
    if console is None or not console.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "host-console.log").write_bytes(redacted_bytes(console.read_bytes()))
