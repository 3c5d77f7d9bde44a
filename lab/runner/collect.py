# SPDX-License-Identifier: Apache-2.0
"""What is kept of a cell: consoles, dmesg, domain XML, beats; what cannot be had is named.

A guest says its beacon's key on its console: no file is written without being redacted.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

from lab.errors import LabError
from lab.guest.guest import GuestPlan
from lab.host.host import RunningHost
from lab.observe.eye import Found
from lab.redact import redacted, redacted_bytes

_SHORT_S = 15.0


def collect(
    folder: Path, host: RunningHost, plan: GuestPlan, found: Found | None
) -> dict[str, list[str]]:
    """Write the evidence of a cell; what cannot be had is named in missing.txt.

    Args:
        folder: Where.
        host: Its host.
        plan: Its guest.
        found: What the eye saw; None if it was never opened.

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
    if found is not None:
        wanted["beats.json.gz"] = lambda: _beats(found)
    missing = []
    for name, get in wanted.items():
        try:
            raw = redacted_bytes(get())
            if name.endswith("-console.log"):
                consoles[name] = raw.decode("utf-8", "replace").splitlines()
            packed = gzip.compress(raw, mtime=0) if name.endswith(".gz") else raw
            (folder / name).write_bytes(packed)
        except (LabError, OSError) as e:
            missing.append(f"{name}: {e}")
    if missing:
        text = redacted("\n".join(missing))
        (folder / "missing.txt").write_text(f"{text}\n", encoding="utf-8")
    return consoles


def collect_boot(folder: Path, console: Path | None) -> None:
    """Keep what a host said that did not come up: its own folder goes when the run ends."""
    if console is None or not console.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "host-console.log").write_bytes(redacted_bytes(console.read_bytes()))


def _beats(found: Found) -> bytes:
    """Give the trails as JSON: what is needed to draw a silence plot, and to judge once more."""
    vcpus = {
        str(n): {
            "boot_id": trail.boot_id.hex() if trail.boot_id else None,
            "guest_ns": list(trail.stamps),
            "first_seq": list(trail.seq),
            "first_beat": list(trail.start),
            "after": list(trail.after),
            "by": list(trail.by),
            "anomalies": [(a.kind.value, a.at, a.what) for a in trail.anomalies],
        }
        for n, trail in found.trails.items()
    }
    marks = [(mark.label, mark.at) for mark in found.marks]
    sight = {
        "looks": found.sight.looks,
        "per_second": found.sight.per_second,
        "cost_s": found.sight.cost_s,
        "longest_s": found.sight.longest_s,
        "again": found.sight.again,
        "errors": found.sight.errors,
        "last_error": found.sight.last_error,
    }
    return json.dumps({"version": 1, "marks": marks, "sight": sight, "vcpus": vcpus}).encode()
