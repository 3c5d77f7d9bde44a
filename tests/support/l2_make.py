# SPDX-License-Identifier: Apache-2.0
"""Makes the L2 payloads, as the lab's build does."""

from __future__ import annotations

import subprocess
from pathlib import Path

SOURCES = Path(__file__).parents[2] / "guest-images" / "l2"


def make(out: Path, *goals: str) -> str:
    """Make goals of guest-images/l2 into a folder; return what was printed."""
    done = subprocess.run(
        ["make", "-s", "-C", str(SOURCES), f"OUT={out}", *goals],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
