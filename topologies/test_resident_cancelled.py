# SPDX-License-Identifier: Apache-2.0
"""A guest that is preserved, and then is not, again and again: it lives, and nothing is lost.

`LAB_CANCELS=1000 pytest topologies --lab-tier=nightly -k cancel` does it so often.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from typing import Any

import pytest

from lab.deadline import Deadline
from lab.host.commands import labvmm
from lab.host.host import RunningHost
from lab.runner.lab_session import LabSession
from lab.testing.resident import Resident
from lab.testing.swallowed import SwallowedHost

pytestmark = [
    pytest.mark.tier("nightly"),
    pytest.mark.arch("x86_64"),
    pytest.mark.timeout(3600),
    pytest.mark.twin(
        "test_resident_refused.py::test_a_kernel_that_asks_nothing_of_the_next_loses_the_guest"
    ),
]

CANCELS = int(os.environ.get("LAB_CANCELS", "100"))
FIRST = 10  # caches and slabs fill
CYCLE_S = 15.0  # beside other load; half a second was seen
NOISE_KB, LEAK_KB = 1024, 8  # half of that was seen to come and go; a cycle takes some 300 KiB


def test_cancelled_preservation_leaves_a_live_guest_and_no_leak(
    swallowed: SwallowedHost, lab_session: LabSession
) -> None:
    host = swallowed.host
    with ExitStack() as stack:
        guest = Resident.start(host, lab_session.lab.watch, stack)
        cycled(guest, FIRST)
        files, free = fds(guest), free_kb(host)
        said = cycled(guest, CANCELS)
        gone = free - free_kb(host)
        sys.stdout.write(f"{gone} KiB less are free after {CANCELS} cancels; {said}")
        assert said["cycles"] == CANCELS
        assert said["entries"] >= CANCELS, "it did not live there each time"
        assert said["fds"][0] == said["fds"][1]
        assert fds(guest) == files
        assert guest.vcpu_states() == []
        assert guest.cpus() == "0-1"
        assert gone < NOISE_KB + LEAK_KB * CANCELS
        guest.insist_lives()


def cycled(guest: Resident, times: int) -> dict[str, Any]:
    """Move it to the caretaker and back so often; give what the mover says."""
    by = Deadline.after(60 + CYCLE_S * times)
    words = guest.move_command("cycle", "--count", str(times))
    return dict(labvmm(guest.host.session, *words, by=by))


def fds(guest: Resident) -> int:
    """Count the descriptors of its VMM."""
    folder = f"/proc/{guest.guest.vmm.pid}/fd"
    return int(guest.host.session.check(["sh", "-c", f"ls {folder} | wc -l"]))


def free_kb(host: RunningHost) -> int:
    """Return how much memory is free once caches are dropped.

    What a CPU keeps for itself is free again when that goes: tens of MiB were seen.
    """
    cpu = "/sys/devices/system/cpu/cpu1/online"
    script = f"echo 0 >{cpu} && echo 1 >{cpu} && sync && echo 3 >/proc/sys/vm/drop_caches"
    host.session.check(["sh", "-c", script])
    return int(host.session.check(["grep", "^MemFree", "/proc/meminfo"]).split()[1])
