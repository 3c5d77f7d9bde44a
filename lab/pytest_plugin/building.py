# SPDX-License-Identifier: Apache-2.0
"""Images are built before the first test, so that no test's time-out has to cover a build."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from lab.build.cache import standard
from lab.config.host_request import HostRequest
from lab.config.model import Arch, Cell, LabConfig
from lab.events import Event, Progress
from lab.pytest_plugin.run import Run
from lab.pytest_plugin.turns import turn_of
from lab.runner.image_store import ImageStore
from lab.testing.markers import GUEST, HOST, guest_request, host_request

_TAKES_A_HOST = frozenset({"pool", "lab_session"})


def needed(items: Iterable[pytest.Item], run: Run) -> list[tuple[LabConfig, Cell]]:
    """Return the cells whose hosts tests boot.

    Args:
        items: The tests: one of a cell needs that cell's host; one that chooses its own host, any
            of the tier.
        run: Whose cells.

    Returns:
        One cell for each combination of kernels and architecture, with its lab.toml.

    Raises:
        ConfigError: lab.toml or a topology is wrong.
    """
    found: dict[tuple[str, str, Arch], tuple[LabConfig, Cell]] = {}
    for item in items:
        folder = item.path.parent
        fixtures = set(getattr(item, "fixturenames", ()))
        takes = _TAKES_A_HOST & fixtures and HOST not in fixtures  # which says what it takes
        if not takes or not any(folder.glob("*.toml")):
            continue
        turn = turn_of(item)
        only = {arch for marker in item.iter_markers("arch") for arch in marker.args}
        cells = (turn[0],) if turn else run.cells(folder)
        for cell in cells:
            if only and cell.arch.value not in only:
                continue
            key = (cell.kernel, cell.options.through or "", cell.arch)
            found.setdefault(key, (run.lab(folder), cell))  # of an unavailable one, for its probe
    return list(found.values())


def asked(items: Iterable[pytest.Item], run: Run) -> list[tuple[LabConfig, HostRequest]]:
    """Return the hosts that tests of other suites ask for by marker, each kernel of them once.

    Args:
        items: The tests.
        run: Says which lab.toml counts.

    Returns:
        One request for each kernel and architecture, with its lab.toml.

    Raises:
        ConfigError: A marker makes no sense.
    """
    labs: dict[Path, LabConfig] = {}
    found: dict[tuple[str, Arch], tuple[LabConfig, HostRequest]] = {}
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if HOST not in fixtures:
            continue
        folder = item.path.parent
        lab = labs[folder] = labs.get(folder) or run.lab(folder)
        request = host_request(item, lab)
        if GUEST in fixtures:
            guest_request(item)  # what is wrong with it is said before anything is built
        found.setdefault((request.kernel, request.arch), (lab, request))
    return list(found.values())


def build(session: pytest.Session, run: Run) -> None:
    """Build what the chosen tests boot, unless it is cached.

    Args:
        session: With the tests that were chosen.
        run: Whose cells.

    Raises:
        LabError: Something could not be built.
    """
    for lab, request in asked(session.items, run):
        built(session, lab, {(request.kernel, request.arch)})
    for lab, cell in needed(session.items, run):
        kernels = {cell.kernel, cell.options.through or cell.kernel}
        built(session, lab, {(kernel, cell.arch) for kernel in kernels})


def built(session: pytest.Session, lab: LabConfig, wanted: Iterable[tuple[str, Arch]]) -> None:
    """Build kernels, and what hosts boot with them, unless they are cached; print progress.

    Args:
        session: Whose terminal is written to.
        lab: What lab.toml says.
        wanted: Names of kernels, and architectures.

    Raises:
        LabError: Something could not be built.
    """
    terminal = session.config.pluginmanager.getplugin("terminalreporter")

    def tell(event: Event) -> None:
        if terminal is not None and isinstance(event, Progress) and event.done in {0, event.total}:
            done = "is built" if event.done else "is being built"
            terminal.write_line(f"  {event.what} {done}")

    images = ImageStore(lab, standard(lab.cache), tell)
    for kernel, arch in wanted:
        images.outfit(lab.kernel_for(kernel), arch)
