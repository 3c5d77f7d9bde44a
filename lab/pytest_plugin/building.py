# SPDX-License-Identifier: Apache-2.0
"""Images are built before the first test, so that no test's time-out has to cover a build."""

from __future__ import annotations

import io
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import IO, cast

import pytest
from rich.console import Console

from lab.build.cache import standard
from lab.config.host_request import HostRequest
from lab.config.model import Arch, Cell, LabConfig
from lab.events import Sink, nowhere
from lab.pytest_plugin.heartbeat import Terminal
from lab.pytest_plugin.run import Run
from lab.pytest_plugin.turns import turn_of
from lab.report.progress import progress_on
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
    with ExitStack() as stack:
        sink: Sink = nowhere
        if terminal is not None:
            console = Console(
                file=cast("IO[str]", Written(terminal)), force_terminal=bool(terminal.isatty)
            )
            sink = stack.enter_context(progress_on(console))
        images = ImageStore(lab, standard(lab.cache), sink)
        for kernel, arch in wanted:
            images.outfit(lab.kernel_for(kernel), arch)


class Written(io.TextIOBase):
    """A file that is pytest's terminal, which pytest itself has while it captures all else."""

    def __init__(self, terminal: Terminal) -> None:
        """Begin a line of its own.

        Args:
            terminal: pytest's terminal reporter.
        """
        self._terminal = terminal
        terminal.ensure_newline()

    def write(self, text: str, /) -> int:
        """Write to the terminal.

        Args:
            text: What to write.

        Returns:
            Its length, in characters.
        """
        self._terminal.write(text, flush=True)
        return len(text)
