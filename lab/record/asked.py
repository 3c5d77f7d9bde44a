# SPDX-License-Identifier: Apache-2.0
"""The plan of a run in its record: what had to be judged, what was asked for, what was left out."""

from __future__ import annotations

from lab.record.parts import Part


class PlanRecord(Part):
    """What a run had to judge, by topologies, tier, accelerator and kernel; what was asked for."""

    cells: int
    """How many cells the whole is; repeats count."""
    checks: int
    """How many tests beside them."""
    chosen_cells: int
    """How many cells were asked for."""
    chosen_checks: int
    """How many tests beside them were asked for."""
    asked: str = ""
    """What chose a part, as "-k 'vmm_kill'"; "" if nothing did: then the whole has to be judged."""
    left_out: dict[str, str] = {}
    """What had to run and was not even begun: its name, and why not."""
    controls: dict[str, str] = {}
    """The twin of each cell that is to survive: its id, and that of the one that must die."""
    twins: dict[str, str] = {}
    """The twin of each test beside the cells that asserts that a guest lives: the id of a test, or
    of a cell, in which such a guest dies."""
    uncontrolled: dict[str, str] = {}
    """The tests beside the cells that assert that a guest lives and have no twin here, and why."""

    @property
    def part(self) -> str:
        """What part of the ladder it is, in words; "" for the whole."""
        if not self.asked:
            return ""
        return (
            f"a part of the ladder, {self.chosen_cells} of {self.cells} cells and "
            f"{self.chosen_checks} of {self.checks} tests beside them, by {self.asked}; "
            "not a verdict on the whole"
        )
