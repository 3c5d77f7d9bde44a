# SPDX-License-Identifier: Apache-2.0
"""--lab-shard: the part of a run that one of several machines judges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from lab.config.model import LabConfig
from lab.config.twins import needs_twin
from lab.errors import LabError
from lab.history.store import NAME as HISTORY
from lab.history.store import opened
from lab.pytest_plugin.plan import must_run_of
from lab.pytest_plugin.run import Run
from lab.pytest_plugin.turns import name_of, turn_of
from lab.record.cut import ShardRecord, WholeRecord, bundles, cut, digest_of_durations, seconds
from lab.record.files import load_document
from lab.record.model import PlanRecord, RunHeader
from lab.resources.ledger import state_dir
from lab.runner.provenance import lab_commit, limits_of
from lab.verify.source import source_digest


def learned(lab: LabConfig) -> dict[str, float]:
    """Return how long each test takes, as the history has learned it.

    Args:
        lab: What lab.toml says; the history is in its state folder.

    Returns:
        Seconds, by id; nothing where there is no history.

    Raises:
        UsageError: The history cannot be read: another shard might read it, and cut otherwise.
    """
    path = state_dir(lab.state) / HISTORY
    if not path.exists():
        return {}
    try:
        with opened(path) as book:
            return {name: round(value, 3) for name, value in book.durations().items()}
    except LabError as e:
        raise pytest.UsageError(f"--lab-shard: {e}") from e


def chosen_for(
    shard: tuple[int, int], items: Sequence[pytest.Item], durations: Mapping[str, float]
) -> list[pytest.Item]:
    """Return the tests of one shard; a cell, its repeats and its control are in the same one.

    Args:
        shard: Its number, from 1, and how many there are.
        items: The tests of the whole run.
        durations: How long each takes, in seconds, by id.

    Raises:
        UsageError: There are more shards than there is to share out.
    """
    index, of = shard
    tests: dict[str, list[pytest.Item]] = {}
    pairs: dict[str, str] = {}
    for item in items:
        turn = turn_of(item)
        tests.setdefault(turn[0].id if turn else item.nodeid, []).append(item)
        if turn and needs_twin(turn[0]) and turn[0].twin:
            pairs[turn[0].id] = turn[0].twin
    bound = bundles(list(tests), pairs)
    if of > len(bound):
        raise pytest.UsageError(
            f"--lab-shard={index}/{of}: {len(items)} tests make {len(bound)} bundles that stay "
            f"together, a cell with its control: type {len(bound)} shards at the most"
        )
    weights = [sum(seconds(i, durations) * len(tests[i]) for i in bundle) for bundle in bound]
    mine = {
        i for bundle, n in zip(bound, cut(weights, of), strict=True) if n == index for i in bundle
    }
    running = {item.nodeid for i in mine for item in tests[i]}
    return [item for item in items if item.nodeid in running]


def resumed(
    before: Path, shard: tuple[int, int] | None, items: Sequence[pytest.Item]
) -> list[pytest.Item]:
    """Return the tests of a stopped run that is resumed: as it was cut, whatever was learned since.

    Args:
        before: The stopped run's folder.
        shard: The number that was typed, from 1, and how many there are; None for no shard.
        items: The tests that were chosen now.

    Raises:
        UsageError: The stopped run was another shard.
    """
    header = load_document(before / "header.json", RunHeader)
    was = (header.shard.index, header.shard.of) if header.shard else None
    if was != shard:
        there = f"was shard {was[0]}/{was[1]}" if was else "was a whole run"
        typed = f"type --lab-shard={was[0]}/{was[1]}" if was else "type no --lab-shard"
        raise pytest.UsageError(f"--lab-resume: {before.name} {there}: {typed}")
    if was is None:
        return list(items)
    mine = {*(cell.key for cell in header.planned), *header.checks_planned}
    return [item for item in items if name_of(item) in mine]


class Cut:
    """What a run is cut into: all of it where no shard was asked for.

    Attributes:
        whole: The tests of the whole run; none before it was cut.
    """

    def __init__(self, run: Run) -> None:
        """Cut nothing yet.

        Args:
            run: The run.
        """
        self._run = run
        self._durations: dict[str, float] = {}
        self.whole: list[pytest.Item] = []

    def others(self, items: Sequence[pytest.Item]) -> list[pytest.Item]:
        """Return the tests that are another shard's.

        Args:
            items: The tests of the whole run.

        Raises:
            UsageError: There are too many shards, or the run that is resumed was another one.
        """
        run = self._run
        self.whole = list(items)
        if run.before is not None:
            mine = resumed(run.before, run.shard, items)
        elif run.shard is None or not items:
            return []
        else:
            self._durations = learned(self._lab())
            mine = chosen_for(run.shard, items, self._durations)
        running = {item.nodeid for item in mine}
        return [item for item in items if item.nodeid not in running]

    def recorded(
        self, plan: PlanRecord, items: Sequence[pytest.Item]
    ) -> tuple[PlanRecord, ShardRecord | None]:
        """Return the plan of a shard, and what its record says of the whole.

        Args:
            plan: The plan of the whole run.
            items: The tests of the shard.

        Returns:
            The same plan and None where no shard was asked for.
        """
        shard = self._run.shard
        if shard is None:
            return plan, None
        lab, cells = self._lab(), [turn[0].id for item in items if (turn := turn_of(item))]
        whole = WholeRecord(
            names=tuple(name_of(item) for item in self.whole),
            must_run=must_run_of(self.whole),
            plan=plan,
            limits=limits_of(lab.watch, lab.patience),
            lab_commit=lab_commit()[0],
            lab_source=source_digest(),
            durations=digest_of_durations(self._durations),
        )
        typed = f"--lab-shard={shard[0]}/{shard[1]}"
        part = {
            "chosen_cells": len(cells),
            "chosen_checks": len(items) - len(cells),
            "asked": f"{plan.asked} and {typed}" if plan.asked else typed,
            "controls": {one: other for one, other in plan.controls.items() if one in cells},
            "twins": {},  # of tests: they are in any shard, and a merge has all of them
        }
        return plan.model_copy(update=part), ShardRecord(index=shard[0], of=shard[1], whole=whole)

    def _lab(self) -> LabConfig:
        return self._run.lab(self.whole[0].path.parent)
