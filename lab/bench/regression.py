# SPDX-License-Identifier: Apache-2.0
"""What a bench measured beside what the last one did: what became slower by more than 15 %."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lab.record.model import CellRecord, CheckRecord, RunRecord

LIMIT = 1.15
_LEAST_S = 0.5  # of phases; shorter ones differ by more than that from turn to turn
_ONE = {
    "raw_boot_s.median": "the bare boot, s",
    "ssh_ready_s.median": "the lab's boot, s",
    "ssh_ready_over_raw_boot.median": "the lab's boot over a bare one",
    "cell.seconds_on_a_warm_host": "a cell on a warm host, s",
    "resident_mib": "the lab's memory, MiB",
}


def regressions(now: Mapping[str, Any], last: Mapping[str, Any]) -> list[str]:
    """Return what is more than 15 % more than it was.

    Args:
        now: What a bench measured, as in its JSON file.
        last: What the one before it measured.

    Returns:
        One sentence for each; none where the two ran on different accelerators, which says
        nothing about the lab.
    """
    if now.get("accelerator") != last.get("accelerator"):
        return []
    names = {**_ONE, **{f"cell.phases.{phase}": f"phase {phase} of a cell, s"
                        for phase in now.get("cell", {}).get("phases", {})}}  # fmt: skip
    found = []
    for path, what in names.items():
        then, came = _figure(last, path), _figure(now, path)
        short = path.startswith("cell.phases.") and max(then or 0.0, came or 0.0) < _LEAST_S
        if then and came is not None and came > LIMIT * then and not short:
            found.append(_said(what, then, came))
    return found


def slower(now: RunRecord, last: RunRecord) -> list[str]:
    """Return whether what two runs have in common took more than 15 % longer in the later one.

    Args:
        now: The later run.
        last: The earlier one, of the same tier.

    Returns:
        A sentence for the whole, and one for each phase of cells; none if nothing is slower.
    """
    then, came = _durations(last), _durations(now)
    both = sorted(set(then) & set(came))
    found = []
    totals = [sum(times[key] for key in both) for times in (then, came)]
    if totals[1] > LIMIT * totals[0] > 0:
        what = f"the {len(both)} cells and tests that runs {last.run_id} and {now.run_id} share, s"
        found.append(_said(what, *totals))
    before, after = (_phases(record.cells, both) for record in (last, now))
    found += [
        _said(f"phase {phase} of all those cells, s", before[phase], after[phase])
        for phase in after
        if phase in before and after[phase] > LIMIT * max(before[phase], _LEAST_S)
    ]
    return found


def told(found: Sequence[str]) -> Iterator[str]:
    """Write for people what became slower.

    Args:
        found: What did.

    Yields:
        A line for each; one that says so if nothing did.
    """
    for one in found:
        yield f"slower by more than 15 %: {one}"
    if not found:
        yield "nothing is slower than the last time by more than 15 %"


def _said(what: str, then: float, came: float) -> str:
    return f"{what}: {came:.2f}, was {then:.2f} (+{100 * (came / then - 1):.0f} %)"


def _figure(found: Mapping[str, Any], path: str) -> float | None:
    value: Any = found
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, (int, float)) else None


def _durations(record: RunRecord) -> dict[str, float]:
    ended: list[tuple[str, CellRecord | CheckRecord]] = [(c.key, c) for c in record.cells]
    ended += [(check.id, check) for check in record.checks]
    return {key: one.duration_s for key, one in ended if one.duration_s > 0}


def _phases(cells: Sequence[CellRecord], keys: Sequence[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for cell in cells:
        for label, took in cell.phases if cell.key in keys else ():
            found[label] = found.get(label, 0.0) + took
    return found
