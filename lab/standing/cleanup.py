# SPDX-License-Identifier: Apache-2.0
"""What a killed process of one run left behind, removed when that run is resumed."""

from __future__ import annotations

from lab.config.model import LabConfig
from lab.events import Sink, Step
from lab.standing.inventory import surveyed


def remove_leftovers_of(lab: LabConfig, run_id: str, sink: Sink) -> tuple[str, ...]:
    """Remove the machines and folders that killed workers of a run left behind.

    What other runs left, what stands, and what is at work stays.

    Args:
        lab: The lab, whose libvirt and state folder are looked at.
        run_id: The run's id, without the part that names a worker.
        sink: Is told of each thing that is removed.

    Returns:
        What was removed, as "machine lab-7f3a-gw0-a" or "folder /var/...".

    Raises:
        LabError: A machine or a folder could not be removed.
    """
    removed = []
    with surveyed(lab, sink, wake=True) as found:
        for machine in found.abandoned:
            if _is_of(machine.run_id, run_id):
                machine.remove()
                removed.append(f"machine {machine.name}")
        for folder in found.folders:
            if _is_of(folder.run_id, run_id) and not found.blind:
                folder.remove()
                removed.append(f"folder {folder.path}")
    for what in removed:
        sink(Step(what=f"removed {what}, which run {run_id} left when it was killed"))
    return tuple(removed)


def _is_of(name: str, run_id: str) -> bool:
    """Whether `name` is that of the run or of one of its workers: `7f3a`, `7f3a-r1b2c-gw0`."""
    return name == run_id or name.startswith(f"{run_id}-")
