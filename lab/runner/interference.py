# SPDX-License-Identifier: Apache-2.0
"""What others did to a host while its guest was watched, and whether L0 slept meanwhile."""

from __future__ import annotations

from lab.observe.jitter import JitterProbe
from lab.verdict.evidence import Interference
from lab.virt.domain import Domain


def interference_of(domain: Domain, jitter: JitterProbe) -> tuple[Interference, ...]:
    """Return what neither the lab nor a host's own kernel did to the host.

    Args:
        domain: The host's machine.
        jitter: The probe that watches L0.

    Returns:
        Each event, oldest first; of the watch, and of the time before it.
    """
    found = [
        Interference(one.at, f"libvirt says that {domain.role} was {one.what}")
        for one in domain.happenings.by_others
    ]
    found += [
        Interference(at, f"L0 was suspended for {slept:.1f} s") for at, slept in jitter.suspended
    ]
    return tuple(sorted(found, key=lambda one: one.at))
