# SPDX-License-Identifier: Apache-2.0
"""What becomes of tests when they are collected: cells as parameters, tiers, limits of time."""

from __future__ import annotations

import os

import pytest

from lab.config.model import Tier
from lab.errors import ConfigError
from lab.pytest_plugin.run import Run
from lab.pytest_plugin.turns import key_of, turn_of

_CELL_S = 600.0
_EACH_KEXEC_S = 60.0


def make_cells(metafunc: pytest.Metafunc, run: Run) -> None:
    """Make one test of each cell, of a test that takes a `cell`.

    Args:
        metafunc: The test.
        run: Whose cells.

    Raises:
        UsageError: lab.toml or a topology is wrong.
    """
    try:
        folder = metafunc.definition.path.parent
        cells = run.cells(folder)
        turns = run.turns(folder, cells) if "repeat" in metafunc.fixturenames else ()
    except ConfigError as e:
        raise pytest.UsageError(str(e)) from e
    if not turns:
        metafunc.parametrize("cell", cells, ids=[cell.id for cell in cells], scope="session")
        return
    ids = [key_of(cell, repeat) for cell, repeat in turns]
    metafunc.parametrize(("cell", "repeat"), turns, ids=ids, scope="function")


def choose(config: pytest.Config, items: list[pytest.Item], run: Run) -> None:
    """Deselect what is marked for a tier above that of this run, and limit the time of cells.

    Args:
        config: pytest's.
        items: The tests; changed in place.
        run: Whose tier.
    """
    tiers = list(Tier)
    within = set(tiers[: tiers.index(run.tier) + 1])
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        marker = item.get_closest_marker("tier")
        (kept if marker is None or Tier(marker.args[0]) in within else left_out).append(item)
        give_time(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept


def give_time(item: pytest.Item) -> None:
    """Limit the time of a cell where nothing else does; one of many kexecs may take longer.

    Args:
        item: The test.
    """
    turn = turn_of(item)
    if turn is None or not item.config.pluginmanager.has_plugin("timeout"):
        return
    limit_s = _time_limit_s(item.config)
    more = turn[0].options.kexecs - 1
    if limit_s is None or (limit_s and more):
        usual_s = _CELL_S if limit_s is None else limit_s
        item.add_marker(pytest.mark.timeout(usual_s + more * _EACH_KEXEC_S))


def _time_limit_s(config: pytest.Config) -> float | None:
    """Return the limit of pytest-timeout for each test, 0 for none; None where it was not set."""
    places = config.getoption("timeout"), os.environ.get("PYTEST_TIMEOUT"), config.getini("timeout")
    return next((float(said) for said in places if said not in {None, ""}), None)
