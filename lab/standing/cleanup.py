# SPDX-License-Identifier: Apache-2.0
"""What a killed process of one run left behind, removed by whoever goes on with that run."""

from __future__ import annotations

from lab.config.model import LabConfig
from lab.events import Sink, Step
from lab.standing.inventory import surveyed


def remove_leftovers_of(lab: LabConfig, run_id: str, sink: Sink) -> tuple[str, ...]:
    """Remove machines and folders that workers of run `run_id` left when they were killed.

    What other runs left, what stands, and what is at work stays; gives what was removed.
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
