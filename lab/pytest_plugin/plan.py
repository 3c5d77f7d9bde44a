# SPDX-License-Identifier: Apache-2.0
"""What a run of pytest has to judge, and what of it was asked for, left out, or is gone.

-k, -m, --lf and paths choose a part of the ladder: that part is judged, and it is said that it is
one. What is left out otherwise, as by --deselect, --ignore or a plugin, had to run and did not.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from lab.config.load import MUST_RUN
from lab.config.model import Arch, Cell, Tier, Unavailable
from lab.config.must_run import MustRun, fallen, load_must_run
from lab.config.twins import needs_twin
from lab.pytest_plugin.claims import id_by, twins_of
from lab.pytest_plugin.run import Run
from lab.pytest_plugin.turns import cell_of, name_of, turn_of
from lab.record.model import PlanRecord

_DESELECT = "it was left out by --deselect"
_SOMETHING = "it was collected, and something left it out: an option, a plugin or a conftest.py"
_NO_TEST = "no test that was collected runs it"
_NO_MODULE = "no test of this module was collected: an option left it out, or it has none"
_GONE = "this module of tests is gone, and must-run.toml names it"


def folder_of(items: Iterable[pytest.Item]) -> Path | None:
    """Return the folder of topologies that tests are beside.

    Args:
        items: The tests.

    Returns:
        The first by name that has a test which runs a cell; if none has, the first that has
        topologies: the order of the tests, which plugins change, does not matter.
    """
    tests = list(items)
    own = {item.path.parent for item in tests if cell_of(item)}
    beside = {item.path.parent for item in tests}
    return min(own or filter(_topologies, beside), default=None)


def plan_of(
    config: pytest.Config,
    run: Run,
    folder: Path,
    collected: Sequence[pytest.Item],
    chosen: Sequence[pytest.Item],
    *,
    read: Collection[str],
) -> PlanRecord:
    """Return the plan of a run.

    Args:
        config: pytest's: what was asked for.
        run: Its tier, kernel and accelerator.
        folder: Of the topologies.
        collected: The tests of this tier, before any option left some out.
        chosen: Those that are going to run.
        read: Names of the modules that had tests, of whatever tier.

    Raises:
        ConfigError: lab.toml, a topology or must-run.toml is wrong.
    """
    asked = asked_for(config, folder, read)
    turns = [turn for item in collected if (turn := turn_of(item))]
    cells = run.cells(folder)
    missing = {cell.id for cell in cells} - {cell.id for cell, _ in turns}
    left_out = dict(_left_out(config, collected, chosen, whole=not asked))
    if not asked:
        left_out |= dict.fromkeys((c.id for c in cells if c.id in missing), _NO_TEST)
        left_out |= _gone(run, folder, read)
    mine = [turn[0] for item in chosen if (turn := turn_of(item))]
    accels = {arch: run.accelerator(folder, arch) for arch in Arch}
    twins = twins_of(chosen, [cell.id for cell in mine], id_by(run.lab(folder), accels))
    return PlanRecord(
        cells=len(turns) + len(missing),
        checks=sum(turn_of(item) is None for item in collected),
        chosen_cells=len(mine),
        chosen_checks=len(chosen) - len(mine),
        asked=asked,
        left_out=left_out,
        controls={cell.id: cell.twin for cell in mine if needs_twin(cell) and cell.twin},
        twins=twins.named,
        uncontrolled=twins.missing,
    )


def must_run_of(chosen: Iterable[pytest.Item]) -> tuple[str, ...]:
    """Return the ids of the cells that have to be judged, which are all but the unavailable.

    Args:
        chosen: The tests that are going to run.
    """
    cells = (turn[0] for item in chosen if (turn := turn_of(item)))
    ids = (cell.id for cell in cells if not isinstance(cell.expectation, Unavailable))
    return tuple(dict.fromkeys(ids))


def asked_for(config: pytest.Config, folder: Path, read: Collection[str]) -> str:
    """Return what chooses a part of the ladder, as it was typed; "" if nothing does.

    Args:
        config: pytest's.
        folder: Of the topologies.
        read: Names of the modules that had tests, of whatever tier.
    """
    option = config.option
    said = [f"-k '{option.keyword}'"] if option.keyword else []
    said += [f"-m '{option.markexpr}'"] if option.markexpr else []
    said += ["--lf"] if getattr(option, "lf", False) else []
    said += ["--sw"] if getattr(option, "stepwise", False) else []
    named = [str(arg) for arg in config.args if "::" in str(arg) or str(arg).endswith(".py")]
    if named:
        unread = len({path.name for path in folder.glob("test_*.py")}.difference(read))
        rest = f" ({unread} modules of tests were not read)" if unread else ""
        said.append(shlex.join(named) + rest)
    return " and ".join(said)


def is_in_the_plan(item: pytest.Item, tier: Tier, cells: Sequence[Cell]) -> bool:
    """Return whether a test is of this tier, and one of its cells has what the test needs.

    Args:
        item: The test.
        tier: The tier of the run.
        cells: The cells of that tier.
    """
    tiers = list(Tier)
    marker = item.get_closest_marker("tier")
    if marker is not None and tiers.index(Tier(marker.args[0])) > tiers.index(tier):
        return False
    needs = [mark.kwargs for mark in item.iter_markers("needs_cell")]
    return all(any(_has(cell, wanted) for cell in cells) for wanted in needs)


def _has(cell: Cell, wanted: Mapping[str, object]) -> bool:
    has = {
        "arch": cell.arch,
        "mode": cell.mode,
        "kernel": cell.kernel,
        "orphaning": cell.options.orphaning is not None,
    }
    return all(has[name] == value for name, value in wanted.items())


def _left_out(
    config: pytest.Config,
    collected: Sequence[pytest.Item],
    chosen: Sequence[pytest.Item],
    *,
    whole: bool,
) -> Iterator[tuple[str, str]]:
    """Yield what is not going to run, and was not left out by choosing others."""
    prefixes = tuple(config.option.deselect or ())
    running = {item.nodeid for item in chosen}
    for item in collected:
        if item.nodeid in running:
            continue
        if prefixes and item.nodeid.startswith(prefixes):
            yield name_of(item), _DESELECT
        elif whole:
            yield name_of(item), _SOMETHING


def _gone(run: Run, folder: Path, read: Collection[str]) -> dict[str, str]:
    """Return the modules of tests that are not read, and what is below the floor."""
    there = sorted(path.name for path in folder.glob("test_*.py"))
    gone = {f"{folder.name}/{name}": _NO_MODULE for name in there if name not in read}
    path = folder / MUST_RUN
    if not path.exists():
        return gone
    must: MustRun = load_must_run(path)
    if (folder / "conftest.py").exists():  # 'lab init' writes the modules with it, or neither
        names = [name for name in must.beside if name not in there]
        gone |= {f"{folder.name}/{name}": _GONE for name in names}
    accels = {arch: run.accelerator(folder, arch) for arch in Arch}
    cells = run.cells(folder, Tier.SOAK)
    return gone | fallen(must, cells, run.tier, lab=run.lab(folder), accels=accels)


def _topologies(folder: Path) -> bool:
    return any(path.name != MUST_RUN for path in folder.glob("*.toml"))
