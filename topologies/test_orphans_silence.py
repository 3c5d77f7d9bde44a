# SPDX-License-Identifier: Apache-2.0
"""How long a guest is silent when its VMM dies, beside how long it is when nothing happens.

Taken in turns on one guest, so that whatever else this machine does is in both.
"""

from __future__ import annotations

import sys
import time
import warnings
from statistics import median

import pytest

from lab.config.model import GuestKind
from lab.deadline import pause
from lab.observe.window import Window
from lab.runner.lab_session import LabSession
from lab.runner.watch import watched
from lab.testing.orphans import Orphans
from lab.verdict.silence import longest_gap

pytestmark = [
    pytest.mark.tier("nightly"),  # a minute each
    pytest.mark.twin("test_orphans.py::test_a_guest_of_policy_kill_is_dead_and_says_so"),
]

TURNS = 10
WINDOW_S = 1.0
SETTLING_S = 0.5
MS = 1e6  # nanoseconds
AIM = 2.0
WORTH_A_WARNING = 4.0
OF_NO_ACCOUNT_MS = 25.0


@pytest.mark.filterwarnings("default")  # a figure of TCG's is not a failure
@pytest.mark.parametrize("kind", [GuestKind.TICKER, GuestKind.LINUX])
def test_a_vmms_death_is_hardly_heard(
    orphans: Orphans, lab_session: LabSession, kind: GuestKind
) -> None:
    guest = orphans.start(kind)
    calm: list[Window] = []
    struck: list[Window] = []
    with watched(guest, lab_session.lab.watch) as seen:
        for _ in range(TURNS):
            pause(SETTLING_S)
            calm.append(window())
            began = time.monotonic()
            orphans.kill(guest.vmm.pid)
            struck.append(window(began))
            orphans.until_orphan(guest)
            guest = orphans.adopt(guest)
    trails = seen.eye.found().trails.values()
    control, killed = (
        [max(longest_gap(trail, each).ns for trail in trails) / MS for each in windows]
        for windows in (calm, struck)
    )
    void = [w for w in (*calm, *struck) if any(w.overlap(v) > 0 for v in seen.jitter.voids)]
    said = f"{told(control, killed)}; this machine stalled in {len(void)} of {2 * TURNS}"
    sys.stdout.write(said)
    assert max(killed) < lab_session.lab.watch.patience_s * 1000, said
    if median(killed) > max(WORTH_A_WARNING * median(control), median(control) + OF_NO_ACCOUNT_MS):
        warnings.warn(said, stacklevel=1)


def window(began: float | None = None) -> Window:
    """Let time pass; give the stretch, which may have begun before."""
    start = time.monotonic() if began is None else began
    pause(max(0.0, start + WINDOW_S - time.monotonic()))
    return Window(start, time.monotonic())


def told(control: list[float], killed: list[float]) -> str:
    """Put both in a line."""
    a, b = median(control), median(killed)
    return (
        f"longest gap of the guest's clock, median of {len(killed)} windows: {b:.1f} ms after the "
        f"death of its VMM, {a:.1f} ms without; ratio {b / a:.2f}, aim {AIM:g}"
    )
